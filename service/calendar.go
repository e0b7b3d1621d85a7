package service

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Calendar says at which times of which days something happens, in the local time of the machine: "03:00", "mon,fri 03:00,15:30", "1,15 04:00" for days of the month.
//
// It is less than a cron expression, and means the same for each service manager: launchd knows neither steps nor ranges.
type Calendar struct {
	Weekdays []time.Weekday // sorted; none and no Days is each day
	Days     []int          // of the month, sorted
	Times    []Clock        // sorted
}

// A Clock is a time of a day.
type Clock struct{ Hour, Minute int }

// IsZero reports whether the calendar has no time.
func (c Calendar) IsZero() bool { return len(c.Times) == 0 }

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// maxCalendar bounds the times, and the days, of a calendar.
const maxCalendar = 48

// ParseCalendar reads the text of a calendar.
func ParseCalendar(text string) (c Calendar, err error) {
	const want = `want times such as "03:00", with weekdays "mon,fri 03:00" or days of the month "1,15 03:00"`
	words := strings.Fields(text)
	if len(words) == 0 || len(words) > 2 || len(text) > 500 {
		return c, fmt.Errorf("%.80q: %s", text, want)
	}
	for _, word := range strings.Split(words[len(words)-1], ",") {
		hour, minute, ok := strings.Cut(word, ":")
		h, err1 := number(hour, 2, 0, 23)
		m, err2 := number(minute, 2, 0, 59)
		if !ok || err1 != nil || err2 != nil {
			return c, fmt.Errorf("%.80q is no time of a day; %s", word, want)
		}
		c.Times = append(c.Times, Clock{h, m})
	}
	if len(words) == 2 {
		for _, word := range strings.Split(words[0], ",") {
			if i := slices.Index(weekdays, strings.ToLower(word)); i >= 0 {
				c.Weekdays = append(c.Weekdays, time.Weekday(i))
				continue
			}
			day, err := number(word, 0, 1, 31)
			if err != nil {
				return c, fmt.Errorf("%.80q is no day; %s", word, want)
			}
			c.Days = append(c.Days, day)
		}
		if len(c.Weekdays) > 0 && len(c.Days) > 0 {
			return c, fmt.Errorf("%.80q: want either weekdays or days of the month", text)
		}
	}
	slices.SortFunc(c.Times, func(a, b Clock) int { return (a.Hour-b.Hour)*60 + a.Minute - b.Minute })
	slices.Sort(c.Weekdays)
	slices.Sort(c.Days)
	c.Times, c.Weekdays, c.Days = slices.Compact(c.Times), slices.Compact(c.Weekdays), slices.Compact(c.Days)
	if len(c.Times) > maxCalendar {
		return c, fmt.Errorf("more than %d times a day", maxCalendar)
	}
	return c, nil
}

// number reads a decimal number of so many digits; 0 is any.
func number(text string, digits, least, most int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || digits > 0 && len(text) != digits || len(text) > 2 || n < least || n > most || strings.HasPrefix(text, "+") {
		return 0, fmt.Errorf("%.20q", text)
	}
	return n, nil
}

// Next returns the first time after t. A time that a day does not have, because the clock is put forward, is that much later on this day; one that a day has twice
// counts once. It returns the zero time if there is none, which is so for no calendar that ParseCalendar returns.
func (c Calendar) Next(t time.Time) time.Time {
	year, month, day := t.Date()
	for i := range 366 * 8 { // the 29th of February may be eight years away
		at := time.Date(year, month, day+i, 12, 0, 0, 0, t.Location())
		if len(c.Weekdays) > 0 && !slices.Contains(c.Weekdays, at.Weekday()) || len(c.Days) > 0 && !slices.Contains(c.Days, at.Day()) {
			continue
		}
		for _, clock := range c.Times {
			if due := time.Date(at.Year(), at.Month(), at.Day(), clock.Hour, clock.Minute, 0, 0, t.Location()); due.After(t) {
				return due
			}
		}
	}
	return time.Time{}
}
