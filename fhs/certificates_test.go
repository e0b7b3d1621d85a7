package fhs

import (
	"crypto/sha1" //nolint:gosec // the format's
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCertificates makes the bundle and the folder of two certificates with the same subject, one without a last line end, and of a text that
// is no certificate. 4042bcee is what `openssl x509 -hash` prints for this certificate.
func TestCertificates(t *testing.T) {
	text, err := os.ReadFile("testdata/isrg.crt")
	if err != nil {
		t.Fatal(err)
	}
	pem := string(text)
	cut := strings.TrimSuffix(pem, "\n")
	s := shelf{}
	p := s.deb("ca-certificates", map[string]string{
		"usr/share/ca-certificates/a/ISRG (Root), X1.crt": pem, "usr/share/ca-certificates/b/Other.crt": cut, "usr/share/ca-certificates/c/broken.crt": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"etc/ssl/certs/": "",
	})
	java := s.deb("ca-certificates-java", map[string]string{"etc/ssl/certs/java/": ""})
	got, err := s.compose(t, p, java)
	if err != nil {
		t.Fatal(err)
	}
	const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	want := map[string]string{
		"etc/ssl/certs/ISRG_=Root=__X1.pem": "-> ../../../usr/share/ca-certificates/a/ISRG (Root), X1.crt", "etc/ssl/certs/Other.pem": "-> ../../../usr/share/ca-certificates/b/Other.crt",
		"etc/ssl/certs/broken.pem": "-> ../../../usr/share/ca-certificates/c/broken.crt", "etc/ssl/certs/4042bcee.0": "-> ISRG_=Root=__X1.pem", "etc/ssl/certs/4042bcee.1": "-> Other.pem",
		"etc/ssl/certs/ca-certificates.crt": pem + pem + broken,
	}
	for at := range got {
		if strings.HasPrefix(at, "etc/ssl/") && at != "etc/ssl/certs/java/cacerts" && want[at] == "" {
			t.Errorf("%s is there: %s", at, got[at])
		}
	}
	for at, text := range want {
		if diff := cmp.Diff(text, got[at]); diff != "" {
			t.Errorf("%s: -want +got\n%s", at, diff)
		}
	}
	store := got["etc/ssl/certs/java/cacerts"]
	const begin = "\xfe\xed\xfe\xed\x00\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00\x02\x00\x1adebian:isrg_=root=__x1.pem" // Java reads no store with a broken one
	if !strings.HasPrefix(store, begin) || strings.Contains(store, "broken") {
		t.Errorf("a key store %.60q", store)
	}
	if keytool, err := exec.LookPath("keytool"); err == nil { // Java's own reader
		file := filepath.Join(t.TempDir(), "cacerts")
		if err := os.WriteFile(file, []byte(store), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(keytool, "-list", "-keystore", file, "-storepass", "changeit").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "debian:other.pem") {
			t.Errorf("keytool: %v\n%s", err, out)
		}
	}
	// Frozen: the bytes are part of what a layout means.
	sum := sha1.Sum([]byte(store)) //nolint:gosec // a short name for bytes
	if got := hex.EncodeToString(sum[:]); got != "ce1e0f4b65af27cc5d8a3399e7871403a45f8cc6" {
		t.Errorf("the key store has the digest %s", got)
	}
}

// FuzzSubject checks that no bytes make the reader of certificates panic.
func FuzzSubject(f *testing.F) {
	text, err := os.ReadFile("testdata/isrg.crt")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(derOf(text))
	f.Fuzz(func(t *testing.T, der []byte) {
		if hash, ok := subjectHash(der); ok != (len(hash) == 8) {
			t.Errorf("got %q, %v", hash, ok)
		}
	})
}
