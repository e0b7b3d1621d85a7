package set

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/pir"
)

func sample() []Entry {
	return []Entry{
		{Name: "zlib", Path: "lib/zlib", Version: "1.3", Description: "The compression library behind gzip.", License: "Zlib", PID: pir.Sum([]byte("z")), Guessed: true},
		{Name: "gzip", Path: "app/gzip", Version: "1.12", Description: "Compresses files with zlib.", Commands: []string{"gunzip", "gzip"}, Files: []string{"gzip.1"}},
		{Name: "gzip-utils", Path: "app/gzip-utils", Description: "More.", Guessed: true},
		{Name: "broken", Path: "broken", Broken: "no such thing"},
		{Name: "pack", Path: "app/pack", Description: "Packs.", Commands: []string{"GZip-it", "pack"}, Files: []string{"zlib.h"}},
	}
}

func open(t testing.TB, entries []Entry) *Index {
	b, err := BuildIndex(entries)
	if err != nil {
		t.Fatal(err)
	}
	x, err := OpenIndex(b)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestIndex(t *testing.T) {
	x := open(t, sample())
	entries, err := x.Entries()
	if err != nil || len(entries) != 5 || entries[0].Name != "broken" || entries[4].Name != "zlib" {
		t.Fatalf("got %v, %v", entries, err)
	}
	if d := cmp.Diff(sample()[1], entries[1]); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	for words, want := range map[string]string{
		"zlib": "zlib:5 gzip:3 pack:1", "GZIP": "gzip:5 gzip-utils:4 zlib:3 pack:2", "gzip": "gzip:5 gzip-utils:4 zlib:3 pack:2", "compress": "gzip:3 zlib:3",
		"gunzip": "gzip:2", "gzip.1": "gzip:1", "zlib compresses": "gzip:3", "pack": "pack:5", "gz": "gzip:4 gzip-utils:4", "nothing": "", "more gunzip": "",
	} {
		hits, err := x.Search(strings.Fields(words))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, h := range hits {
			got = append(got, fmt.Sprintf("%s:%d", h.Entry.Name, h.Rank))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %v, want %s", words, got, want)
		}
	}
	for command, want := range map[string]string{"gunzip": "gzip", "gunzi": "", "gzip-it": "", "GZip-it": "pack", "zlib": "", "gzip-utils": "gzip-utils", "broken": ""} {
		found, err := x.Command(command)
		var got []string
		for _, e := range found {
			got = append(got, e.Name)
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("command %s: got %v, %v; want %s", command, got, err, want)
		}
	}
	if found, err := x.Find("gzip"); err != nil || len(found) != 1 || found[0].Path != "app/gzip" {
		t.Errorf("got %v, %v", found, err)
	}
	if found, err := x.Prefixed("gz", 1); err != nil || len(found) != 1 || found[0].Name != "gzip" {
		t.Errorf("got %v, %v", found, err)
	}
}

func TestDiff(t *testing.T) {
	p, q := pir.Sum([]byte("p")), pir.Sum([]byte("q"))
	from := []Entry{{Path: "a", Version: "1", PID: p}, {Path: "b", Version: "1", PID: p}, {Path: "c", Version: "1", PID: p}, {Path: "same", PID: p}}
	to := []Entry{{Path: "b", Version: "2", PID: q}, {Path: "c", Version: "1", PID: q}, {Path: "d"}, {Path: "same", PID: p}}
	var got []string
	for _, c := range Diff(from, to) {
		got = append(got, fmt.Sprintf("%s %t %t", c.Path, c.Old != nil, c.New != nil))
	}
	if d := cmp.Diff([]string{"a true false", "b true true", "c true true", "d false true"}, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestEntriesText(t *testing.T) {
	text, err := EncodeEntries(sample())
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeEntries(text)
	if err != nil || len(got) != 5 || !got[0].Guessed || got[1].Guessed || got[1].Commands[0] != "gunzip" {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := DecodeEntries([]byte("{\n")); err == nil {
		t.Error("half a record is read")
	}
}

// TestIndexHostile checks that long and strange texts are cut, and that control characters do not reach the terminal.
func TestIndexHostile(t *testing.T) {
	x := open(t, []Entry{{Name: "a", Path: "a", Description: "x\x1b[2J\n\ty" + strings.Repeat("ü", 4000), Version: strings.Repeat("9", 4000)}})
	e, err := x.Entry(0)
	if err != nil || strings.ContainsAny(e.Description, "\x1b\n") || len(e.Description) > maxText+10 || len(e.Version) > maxText+10 {
		t.Errorf("got %v, %v", e, err)
	}
}

func FuzzIndex(f *testing.F) {
	b, err := BuildIndex(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:len(b)-1])
	empty, _ := BuildIndex(nil)
	f.Add(empty)
	for i := len(indexMagic); i < len(b); i += 7 {
		other := bytes.Clone(b)
		other[i] ^= 0xff
		f.Add(other)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := OpenIndex(b)
		if err != nil {
			return
		}
		_, _ = x.Search([]string{"gzip", "a"})
		_, _ = x.Command("gunzip")
		_, _ = x.Find("gzip")
		_, _ = x.Prefixed("g", 10)
		entries, err := x.Entries()
		if err != nil {
			return
		}
		if len(entries) != x.Len() {
			t.Errorf("got %d entries of %d", len(entries), x.Len())
		}
	})
}

// generated returns the entries of a large set.
func generated(n int) []Entry {
	words := strings.Fields("fast small library parser server client image sound text format network secure tool binding compiler format table graph search index")
	entries := make([]Entry, n)
	for i := range entries {
		name := fmt.Sprintf("%s-%s%d", words[i%len(words)], words[i/7%len(words)], i)
		entries[i] = Entry{
			Name: name, Path: fmt.Sprintf("%s/%s", name[:2], name), Version: fmt.Sprintf("%d.%d", i%9, i%31), License: "MIT", PID: pir.Sum([]byte(name)),
			Description: fmt.Sprintf("A %s %s for the %s of %s and %s, number %d.", words[i%5], words[i%11], words[i%13], words[i%17], words[i%19], i),
			Commands:    []string{name, fmt.Sprintf("tool%d", i)}, Files: []string{name + ".1", name + ".h", fmt.Sprintf("lib%d.a", i)},
		}
	}
	return entries
}

// BenchmarkSearch searches a set of 50,000 packages. It reads the index from its file each time, as a command does.
func BenchmarkSearch(b *testing.B) {
	text, err := BuildIndex(generated(50_000))
	if err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(b.TempDir(), "index")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		b.Fatal(err)
	}
	for _, words := range []string{"parser", "fast parser library", "tool4711", "nothing"} {
		b.Run(strings.ReplaceAll(words, " ", "+"), func(b *testing.B) {
			b.ReportMetric(float64(len(text))/1e6, "MB")
			for b.Loop() {
				content, err := os.ReadFile(file)
				if err != nil {
					b.Fatal(err)
				}
				x, err := OpenIndex(content)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := x.Search(strings.Fields(words)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestSearchLarge checks that a search in 50,000 packages does not decode them all: the budget is ten times what it takes.
func TestSearchLarge(t *testing.T) {
	x := open(t, generated(50_000))
	begin := time.Now()
	hits, err := x.Search([]string{"tool4711"})
	if took := time.Since(begin); err != nil || len(hits) != 11 || took > 100*time.Millisecond {
		t.Errorf("got %d hits in %s, %v", len(hits), took, err)
	}
}
