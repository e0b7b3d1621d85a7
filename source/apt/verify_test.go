package apt

import (
	"bytes"
	"crypto"
	"strings"
	"testing"
	"time"

	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/apt/apttest"
)

var testTime = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func keyring(t testing.TB, keys ...*apttest.Key) (ring Keyring) {
	t.Helper()
	for _, k := range keys {
		one, err := ReadKeyring(k.Public())
		if err != nil {
			t.Fatal(err)
		}
		ring.Add(one)
	}
	return ring
}

func wantCode(t *testing.T, err error, want protocol.Code) {
	t.Helper()
	if got := protocol.CodeOf(err); err == nil || got != want {
		t.Errorf("got %v (%s), want the code %s", err, got, want)
	}
}

const signedText = "Origin: Debian\nCodename: trixie\n"

func TestVerify(t *testing.T) {
	made := testTime.Add(-time.Hour)
	a, b := apttest.NewKey(t, made, 0), apttest.NewKey(t, made, 0)
	for name, message := range map[string][]byte{
		"one signature":             apttest.Sign(t, signedText, testTime, 0, a),
		"two, the second known":     apttest.Sign(t, signedText, testTime, 0, b, a),
		"two, the first known":      apttest.Sign(t, signedText, testTime, 0, a, b),
		"SHA-256":                   apttest.Sign(t, signedText, testTime, crypto.SHA256, a),
		"line ends of Windows":      bytes.ReplaceAll(apttest.Sign(t, signedText, testTime, 0, a), []byte("\n"), []byte("\r\n")),
		"spaces at the end of line": bytes.Replace(apttest.Sign(t, signedText, testTime, 0, a), []byte("trixie\n"), []byte("trixie  \n"), 1),
	} {
		text, err := keyring(t, a).Verify(message, testTime)
		if got := strings.TrimRight(string(text), "\n"); err != nil || got != strings.TrimRight(signedText, "\n") {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	armored, err := ReadKeyring([]byte(a.Armored()))
	if err != nil || armored.Len() != 1 || armored.Only(a.Fingerprint()).Len() != 1 || armored.Only(b.Fingerprint()).Len() != 0 {
		t.Errorf("armored: %d keys, %v", armored.Len(), err)
	}
}

// TestHostileSignature has messages that must not be accepted: what is read is what a known key signed, all of it, and nothing beside it.
func TestHostileSignature(t *testing.T) {
	made := testTime.Add(-48 * time.Hour)
	a, b := apttest.NewKey(t, made, 0), apttest.NewKey(t, made, 0)
	short := apttest.NewKey(t, made, 24*time.Hour)
	rsa := apttest.NewRSAKey(t, made)
	good := apttest.Sign(t, signedText, testTime, 0, a)
	other := apttest.Sign(t, "Codename: evil\n", testTime, 0, b)
	replace := func(before, after string) []byte { return bytes.Replace(good, []byte(before), []byte(after), 1) }
	signature := good[bytes.Index(good, []byte(clearMiddle)):]
	for name, message := range map[string][]byte{
		"empty":                       nil,
		"no signature":                []byte(signedText),
		"an unknown key":              apttest.Sign(t, signedText, testTime, 0, b),
		"two unknown keys":            apttest.Sign(t, signedText, testTime, 0, b, apttest.NewKey(t, made, 0)),
		"a changed text":              replace("trixie", "trixit"),
		"a line more":                 replace("Codename", "Suite: x\nCodename"),
		"a signature of other text":   append(append([]byte(nil), other[:bytes.Index(other, []byte(clearMiddle))]...), signature...),
		"text before":                 append([]byte("Codename: evil\n"), good...),
		"text behind":                 append(bytes.Clone(good), "Codename: evil\n"...),
		"another message before":      append(bytes.Clone(other), good...),
		"another message behind":      append(bytes.Clone(good), other...),
		"the same message twice":      append(bytes.Clone(good), good...),
		"two blocks of signatures":    append(bytes.Clone(good), signature...),
		"a cut signature":             append(bytes.Clone(good[:len(good)-60]), "\n"+clearEnd+"\n"...),
		"a cut message":               good[:len(good)/2],
		"a key that expired":          apttest.Sign(t, signedText, made.Add(time.Hour), 0, short),
		"a weak digest":               apttest.SignWeak(t, signedText, testTime, rsa),
		"a signature from the future": apttest.Sign(t, signedText, testTime.Add(48*time.Hour), 0, a),
		"a page of HTML":              []byte("<html>log in</html>\n"),
		"headers that are no hashes":  replace("Hash: SHA512", "Comment: Codename: evil"),
	} {
		text, err := keyring(t, a, short, rsa).Verify(message, testTime)
		if text != nil {
			t.Errorf("%s: accepted as %q", name, text)
		}
		wantCode(t, err, protocol.Denied)
	}
	if text, err := (Keyring{}).Verify(good, testTime); err == nil {
		t.Errorf("no keys: accepted as %q", text)
	}
	// Each of the keys that must not count is one that the keyring has.
	for name, message := range map[string][]byte{
		"a key before it expires": apttest.Sign(t, signedText, made.Add(time.Hour), 0, short),
		"a strong digest":         apttest.Sign(t, signedText, made.Add(time.Hour), crypto.SHA256, rsa),
	} {
		if _, err := keyring(t, a, short, rsa).Verify(message, made.Add(2*time.Hour)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHostileRelease(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	head := "Origin: Debian\nSuite: stable\nCodename: trixie\nDate: Sat, 21 Nov 2026 09:15:44 UTC\n"
	for name, text := range map[string]string{
		"empty":                "",
		"no files":             head,
		"no date":              "Origin: Debian\nCodename: trixie\nSHA256:\n " + sum + " 1 main/x\n",
		"a wrong date":         strings.Replace(head, "Nov", "Nev", 1) + "SHA256:\n " + sum + " 1 main/x\n",
		"two dates":            head + head + "SHA256:\n " + sum + " 1 main/x\n",
		"a short hash":         head + "SHA256:\n abcd 1 main/x\n",
		"no hexadecimal":       head + "SHA256:\n " + strings.Repeat("xy", 32) + " 1 main/x\n",
		"a negative size":      head + "SHA256:\n " + sum + " -1 main/x\n",
		"a huge size":          head + "SHA256:\n " + sum + " 99999999999999999999 main/x\n",
		"a file twice":         head + "SHA256:\n " + sum + " 1 main/x\n " + sum + " 2 main/x\n",
		"an empty line":        head + "\nSHA256:\n " + sum + " 1 main/x\n",
		"a line without field": head + "what\nSHA256:\n " + sum + " 1 main/x\n",
	} {
		_, err := ParseRelease([]byte(text))
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		wantCode(t, err, protocol.Invalid)
	}
	good := head + "Acquire-By-Hash: yes\nValid-Until: Sat, 28 Nov 2026 09:15:44 UTC\nMD5Sum:\n d41d8 1 main/x\nSHA256:\n " + sum + " 1 main/x\n"
	r, err := ParseRelease([]byte(good))
	if err != nil || !r.ByHash || len(r.Files) != 1 {
		t.Fatal(r, err)
	}
	at := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	if err := r.Check("trixie", at); err != nil {
		t.Error(err)
	}
	wantCode(t, r.Check("bookworm", at), protocol.Denied)
	wantCode(t, r.Check("trixie", at.AddDate(0, 1, 0)), protocol.Unavailable)
	wantCode(t, r.Check("trixie", at.AddDate(0, -1, 0)), protocol.Unavailable)
	wantCode(t, r.NotOlder(r.Date.Add(time.Second)), protocol.Differs)
	if err := r.NotOlder(r.Date); err != nil {
		t.Error(err)
	}
	r.Origin = "Ubuntu"
	wantCode(t, r.Check("trixie", at), protocol.Denied)
}
