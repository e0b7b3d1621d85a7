package service

import (
	"testing"
	"time"
)

func TestCalendar(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("this machine has no time zones")
	}
	for _, c := range []struct{ text, from, want string }{
		{"03:00", "2026-05-01 02:59", "2026-05-01 03:00"},
		{"03:00", "2026-05-01 03:00", "2026-05-02 03:00"},
		{"15:30,03:00", "2026-05-01 03:00", "2026-05-01 15:30"},
		{"mon,FRI 03:00", "2026-05-01 03:00", "2026-05-04 03:00"},
		{"31 00:00", "2026-04-01 00:00", "2026-05-31 00:00"},
		{"29 12:00", "2027-01-30 00:00", "2027-03-29 12:00"},
		{"1,15 04:05", "2026-05-01 04:05", "2026-05-15 04:05"},
		{"02:30", "2026-03-28 12:00", "2026-03-29 03:30"}, // this day has no 02:30
		{"02:30", "2026-10-24 12:00", "2026-10-25 02:30"}, // this one has two
		{"02:30", "2026-10-25 02:30", "2026-10-26 02:30"},
	} {
		calendar, err := ParseCalendar(c.text)
		if err != nil {
			t.Fatal(err)
		}
		from, err := time.ParseInLocation("2006-01-02 15:04", c.from, zone)
		if err != nil {
			t.Fatal(err)
		}
		if got := calendar.Next(from).Format("2006-01-02 15:04"); got != c.want {
			t.Errorf("%s after %s: got %s, want %s", c.text, c.from, got, c.want)
		}
	}
}

func TestTimer(t *testing.T) {
	at := func(text string) time.Time {
		if text == "" {
			return time.Time{}
		}
		out, err := time.Parse("2006-01-02 15:04", text)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	night, err := ParseCalendar("03:00")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name            string
		timer           Timer
		last, now, want string
	}{
		{"a first run by interval", Timer{Interval: time.Hour}, "", "2026-05-01 12:00", "2026-05-01 12:00"},
		{"the next one", Timer{Interval: time.Hour}, "2026-05-01 11:30", "2026-05-01 12:00", "2026-05-01 12:30"},
		{"missed", Timer{Interval: time.Hour}, "2026-05-01 08:30", "2026-05-01 12:00", "2026-05-01 09:30"},
		{"missed and skipped", Timer{Interval: time.Hour, Skip: true}, "2026-05-01 08:30", "2026-05-01 12:00", "2026-05-01 12:30"},
		{"a first run by calendar", Timer{Calendar: night}, "", "2026-05-01 12:00", "2026-05-02 03:00"},
		{"missed by calendar", Timer{Calendar: night}, "2026-04-29 03:00", "2026-05-01 12:00", "2026-04-30 03:00"},
		{"missed by calendar and skipped", Timer{Calendar: night, Skip: true}, "2026-04-29 03:00", "2026-05-01 12:00", "2026-05-02 03:00"},
		{"the clock was put back", Timer{Interval: time.Hour}, "2027-05-01 12:00", "2026-05-01 12:00", "2026-05-01 13:00"},
	} {
		if got := c.timer.Next(at(c.last), at(c.now)); !got.Equal(at(c.want)) {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}
