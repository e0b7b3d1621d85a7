package apt

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/apt/apttest"
)

// The owners that the tests have: plain libraries, variants of one, and Debian's alternatives.
var libraries = []string{"libc6", "libnss3", "libfoo-dev", "libav61", "libav-extra61", "libx-13", "libx-19", "liblapack3", "mesa"}

const contentsText = `lib/x86_64-linux-gnu/libc.so.6                          libs/libc6
usr/lib/x86_64-linux-gnu/libc.so.6.1    libs/libc6
usr/lib/x86_64-linux-gnu/libnss3.so     libs/libnss3
usr/lib/x86_64-linux-gnu/libfoo.so      libdevel/libfoo-dev
usr/lib/x86_64-linux-gnu/libav.so.61    libs/libav-extra61,libs/libav61
usr/lib/libx.so.1   universe/libs/libx-13,libs/libx-19
usr/lib/x86_64-linux-gnu/lapack/liblapack.so.3 libs/liblapack3
usr/lib/x86_64-linux-gnu/openblas/liblapack.so.3 libs/openblas
usr/lib/x86_64-linux-gnu/openblas/libopenblas.so.0 libs/openblas
usr/lib/x86_64-linux-gnu/openblas/libc.so.6 libs/openblas
usr/lib/x86_64-linux-gnu/dri/private.so.1 libs/mesa
usr/lib/x86_64-linux-gnu/deep/er/liblapack.so.3 libs/mesa
usr/lib/aarch64-linux-gnu/libarm.so.1 libs/mesa
usr/share/doc/libc6/libc.so.6 doc/libc6
usr/lib/x86_64-linux-gnu/libgone.so.1 libs/not-in-the-index
usr/lib/x86_64-linux-gnu/a name.so.1 libs/mesa
usr/lib/x86_64-linux-gnu/libconf.so.conf libs/mesa
`

func testSonames(t testing.TB, contents string, prefer ...string) *Sonames {
	t.Helper()
	var text strings.Builder
	for _, name := range libraries {
		more := "Priority: optional"
		if name == "liblapack3" {
			more = "Provides: liblapack.so.3"
		}
		text.WriteString(apttest.Stanza(name, "1", more))
	}
	text.WriteString(apttest.Stanza("openblas", "1", "Provides: liblapack.so.3", "Priority: optional"))
	s, err := BuildSonames(strings.NewReader(contents), index(t, text.String()), prefer)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSonames(t *testing.T) {
	s := testSonames(t, contentsText)
	s.From = []ContentsDate{{"trixie", testTime, Digest{1}}}
	want := `libav.so.61 libav61 libav-extra61
libc.so.6 libc6
libc.so.6.1 libc6
liblapack.so.3 openblas liblapack3
libnss3.so libnss3
libopenblas.so.0 openblas
libx.so.1 libx-19 libx-13
`
	if diff := cmp.Diff(want, s.text); diff != "" {
		t.Error(diff)
	}
	lines := strings.SplitAfter(contentsText, "\n")
	for range 5 { // the order of a contents file does not matter
		rand.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
		if other := testSonames(t, strings.Join(lines, "")); other.text != s.text {
			t.Errorf("another order gives %s", other.text)
		}
	}
	again, err := DecodeSonames(s.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, again, cmp.AllowUnexported(Sonames{})); diff != "" {
		t.Error(diff)
	}
	for name, want := range map[string]string{"libc.so.6": "libc6", "libav.so.61": "libav61 libav-extra61", "libx.so.1": "libx-19 libx-13", "libc.so": "", "libd.so.1": "", "": "", "z": "", "libav.so.61 libav61": ""} {
		got, ok := again.Owner(name)
		if strings.Join(got, " ") != want || ok != (want != "") {
			t.Errorf("%s: got %v, %v; want %s", name, got, ok, want)
		}
	}
	if got, _ := testSonames(t, contentsText, "liblapack3").Owner("liblapack.so.3"); got[0] != "liblapack3" {
		t.Errorf("preferred: got %v", got)
	}
}

// TestHostileContents has contents files and tables that no archive should have.
func TestHostileContents(t *testing.T) {
	for name, text := range map[string]string{
		"empty":               "",
		"binary":              "\x00\xff.so.1 \x00\n",
		"no package":          "usr/lib/libc.so.6\n",
		"a bad package":       "usr/lib/libc.so.6 libs/../../x,libs/,libs/$(x)\n",
		"a name with a quote": "usr/lib/lib\x01'#.so.6 libs/libc6\n",
		"upwards":             "usr/lib/../../x/libc.so.6 libs/libc6\n",
		"absolute":            "/usr/lib/libc.so.6 libs/libc6\n",
		"a long name":         "usr/lib/" + strings.Repeat("a", maxSoname) + ".so.6 libs/libc6\n",
		"a comment":           "usr/lib/#.so.6 libs/libc6\n",
	} {
		if s := testSonames(t, text); s.Len() != 0 {
			t.Errorf("%s: got %s", name, s.text)
		}
	}
	_, err := BuildSonames(&endless{text: "usr/lib/libc.so.6"}, index(t, ""), nil)
	wantCode(t, err, protocol.Invalid)
	_, err = BuildSonames(limited(&endless{text: "usr/lib/libc.so.6 libs/libc6\n"}, 1<<20), index(t, ""), nil)
	if err == nil {
		t.Error("an endless file: accepted")
	}
	head := sonamesHead + "amd64\n"
	var bomb strings.Builder
	for i := 0; bomb.Len() <= maxSonames; i++ {
		fmt.Fprintf(&bomb, "lib%09d.so.1 liba\n", i)
	}
	for name, packed := range map[string][]byte{
		"empty":          nil,
		"no gzip":        []byte(head),
		"another head":   apttest.Gzip("# nuka\n"),
		"no arch":        apttest.Gzip(sonamesHead + "\n"),
		"cut":            apttest.Gzip(head + "liba.so.1 liba\n")[:40],
		"not sorted":     apttest.Gzip(head + "libb.so.1 libb\nliba.so.1 liba\n"),
		"twice":          apttest.Gzip(head + "liba.so.1 liba\nliba.so.1 liba\n"),
		"no owner":       apttest.Gzip(head + "liba.so.1\n"),
		"a bad owner":    apttest.Gzip(head + "liba.so.1 li/ba\n"),
		"no end":         apttest.Gzip(head + "liba.so.1 liba"),
		"a bad contents": apttest.Gzip(head + sonamesFrom + "trixie 2026 00\nliba.so.1 liba\n"),
		"a bomb":         apttest.Gzip(head + bomb.String()),
	} {
		_, err := DecodeSonames(packed)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		wantCode(t, err, protocol.Damaged)
	}
}

func BenchmarkOwner(b *testing.B) {
	var text strings.Builder
	for i := range 17000 {
		text.WriteString("usr/lib/lib" + strings.Repeat("a", i%7) + string(rune('a'+i%26)) + ".so." + strings.Repeat("1", i%90) + " libs/libc6\n")
	}
	s := testSonames(b, text.String())
	for b.Loop() {
		s.Owner("libaaac.so.1")
	}
}

func FuzzSonames(f *testing.F) {
	f.Add(testSonames(f, contentsText).text)
	f.Add("liba.so.1 liba\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := DecodeSonames(apttest.Gzip(sonamesHead + "amd64\n" + text))
		if err != nil {
			return
		}
		again, err := DecodeSonames(s.Encode())
		if err != nil || again.text != s.text {
			t.Errorf("got %q, %v; want %q", again.text, err, s.text)
		}
		for _, at := range s.lines {
			name, _, _ := strings.Cut(s.line(at), " ")
			if got, ok := s.Owner(name); !ok || len(got) == 0 {
				t.Errorf("%q is not found", name)
			}
		}
	})
}

func FuzzContents(f *testing.F) {
	f.Add([]byte(contentsText))
	f.Fuzz(func(t *testing.T, text []byte) {
		x := index(t, apttest.Stanza("libc6", "1")+apttest.Stanza("liblapack3", "1", "Provides: liblapack.so.3"))
		s, err := BuildSonames(bytes.NewReader(text), x, nil)
		if err != nil {
			return
		}
		if again, err := DecodeSonames(s.Encode()); err != nil || again.text != s.text {
			t.Errorf("%q: %v", s.text, err)
		}
	})
}
