package archive

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type arEntry struct{ name, body string }

func makeAr(entries ...arEntry) []byte {
	b := bytes.NewBufferString(arMagic)
	for _, e := range entries {
		b.WriteString(arHeader(e.name, fmt.Sprint(len(e.body))) + e.body)
		if len(e.body)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

func arHeader(name, size string) string {
	return fmt.Sprintf("%-16s%-12d%-6d%-6d%-8s%-10s`\n", name, 0, 0, 0, "100644", size)
}

// readAr returns the names and contents of all members.
func readAr(archive []byte) ([]arEntry, error) {
	a, err := newArReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, err
	}
	var out []arEntry
	for {
		m, err := a.next()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		body, err := io.ReadAll(m)
		if err != nil {
			return out, err
		}
		out = append(out, arEntry{m.name, string(body)})
	}
}

func TestAr(t *testing.T) {
	got, err := readAr(makeAr(arEntry{"debian-binary", "2.0\n"}, arEntry{"odd/", "abc"}, arEntry{"#1/8", "longname123"}, arEntry{"//", "names"}))
	want := []arEntry{{"debian-binary", "2.0\n"}, {"odd", "abc"}, {"longname", "123"}, {"//", "names"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(arEntry{})); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

// TestHostileAr has sizes that lead back, nowhere or past the end. A reader that adds a negative size loops forever.
func TestHostileAr(t *testing.T) {
	orderly := map[string]bool{"other first": true, "other order": true, "version": true, "many": true, "only begun": true}
	deb := func(header string) []byte {
		return append(makeAr(arEntry{"debian-binary", "2.0\n"}), header...)
	}
	for name, archive := range map[string][]byte{
		"negative":     deb(arHeader("control.tar", "-60")),
		"negative odd": deb(arHeader("control.tar", "-1")),
		"minus all":    deb(arHeader("control.tar", "-9223372036")),
		"plus":         deb(arHeader("control.tar", "+0")),
		"hexadecimal":  deb(arHeader("control.tar", "0x10")),
		"none":         deb(arHeader("control.tar", "")),
		"huge":         deb(arHeader("control.tar", "9999999999")),
		"cut off":      deb(arHeader("control.tar", "10")[:30]),
		"no header":    deb(strings.Repeat("x", 60)),
		"long name":    deb(arHeader("#1/-5", "0")),
		"longer name":  deb(arHeader("#1/50", "4") + "abcd"),
		"no magic":     []byte(strings.Repeat("x", 100)),
		"other first":  makeAr(arEntry{"data.tar", "x"}),
		"other order":  makeAr(arEntry{"debian-binary", "2.0\n"}, arEntry{"data.tar", "x"}),
		"version":      makeAr(arEntry{"debian-binary", "3.0\n"}),
		"many":         makeAr(append([]arEntry{{"debian-binary", "2.0\n"}}, make([]arEntry, 1000)...)...),
		"only begun":   makeAr(arEntry{"debian-binary", "2.0\n"}),
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			if got, err := unpackIn(t, archive, &Options{Deb: true}); err == nil {
				t.Errorf("accepted: %v", got)
			}
			// The check of the members' order is a second defence; the reader must terminate without it.
			if members, err := readAr(archive); err == nil && !orderly[name] {
				t.Errorf("read: %v", members)
			}
		})
	}
}

// FuzzAr checks that reading terminates, advances, and stays within the archive.
func FuzzAr(f *testing.F) {
	f.Add(makeAr(arEntry{"debian-binary", "2.0\n"}, arEntry{"#1/4", "namex"}))
	f.Add(append(makeAr(), arHeader("x", "-60")...))
	f.Fuzz(func(t *testing.T, archive []byte) {
		entries, err := readAr(archive)
		total := 0
		for _, e := range entries {
			total += len(e.body) + arHeaderLen
		}
		if total > len(archive) {
			t.Errorf("%d members of %d bytes in an archive of %d, %v", len(entries), total, len(archive), err)
		}
	})
}
