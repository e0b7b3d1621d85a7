package cargo

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/MordragT/nuka/ecosystem"
)

const secret = "a-token-of-the-registry"

// privateRegistry has one crate, for those who know the token.
func privateRegistry(t *testing.T) *httptest.Server {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, text := range map[string]string{"Cargo.toml": "[package]\nname = \"demo\"\nversion = \"1.0.0\"\nedition = \"2021\"\n", "src/lib.rs": "pub fn one() {}\n"} {
		if err := errors.Join(w.WriteHeader(&tar.Header{Name: "demo-1.0.0/" + name, Mode: 0o644, Size: int64(len(text))}), second(w.Write([]byte(text)))); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	crate := b.Bytes()
	s := httptest.NewUnstartedServer(nil)
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		base := "http://" + s.Listener.Addr().String()
		switch {
		case r.Header.Get("Authorization") != secret:
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/index/config.json":
			fmt.Fprintf(w, `{"dl":"%s/dl","api":"%s","auth-required":true}`, base, base)
		case r.URL.Path == "/index/de/mo/demo":
			fmt.Fprintf(w, `{"name":"demo","vers":"1.0.0","deps":[],"cksum":"%x","features":{},"yanked":false}`+"\n", sha256.Sum256(crate))
		case r.URL.Path == "/dl/demo/1.0.0/download":
			_, _ = w.Write(crate)
		default:
			http.NotFound(w, r)
		}
	})
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func second(_ int, err error) error { return err }

// TestPrivateRegistry records and replays an unmodified cargo with a crate of another registry, which wants a token. cargo has none: the recorder sends it, and nowhere else
// does it appear. The recording does not tell where the registry is either.
func TestPrivateRegistry(t *testing.T) {
	cargo, err := exec.LookPath("cargo")
	if err != nil {
		t.Skip("there is no cargo")
	}
	s := privateRegistry(t)
	project := t.TempDir()
	for name, text := range map[string]string{
		"Cargo.toml":         "[package]\nname = \"mine\"\nversion = \"1.0.0\"\nedition = \"2021\"\n\n[dependencies]\ndemo = {version = \"1\", registry = \"private\"}\n",
		"src/lib.rs":         "",
		".cargo/config.toml": "[registries.private]\nindex = \"sparse+" + s.URL + "/index/\"\n",
	} {
		at := filepath.Join(project, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	files, err := ecosystem.NewFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ups := []ecosystem.Upstream{
		{Alias: "crate", Kind: Kind, URL: "https://crates.example.org/index"},
		{Alias: "crate-2", Kind: Kind, URL: s.URL + "/index", Scope: "private", Header: http.Header{"Authorization": {secret}}},
	}
	rec, err := ecosystem.NewRecorder(&ecosystem.Options{Adapter: Adapter{}, Upstreams: ups, Files: files, Door: ecosystem.DoorProxy})
	if err != nil {
		t.Fatal(err)
	}
	fetch(t, cargo, project, rec, ups, "fetch")
	if p := rec.Problems(); len(p) > 0 {
		t.Errorf("recording: %s", p)
	}
	recording, err := rec.Recording()
	if err != nil {
		t.Fatal(err)
	}
	text, err := recording.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{secret, strings.TrimPrefix(s.URL, "http://") + "/index", "example.org", "auth-required", `"origin"`} {
		if strings.Contains(string(text), bad) {
			t.Errorf("the recording has %s:\n%s", bad, text)
		}
	}
	s.Close()
	if recording, err = ecosystem.Decode(text); err != nil {
		t.Fatal(err)
	}
	replay, err := ecosystem.NewReplayer(recording, &ecosystem.ReplayOptions{Adapter: Adapter{}, Open: files.Open})
	if err != nil {
		t.Fatal(err)
	}
	for i := range ups { // a replay knows no registry
		ups[i].URL, ups[i].Header = "", nil
	}
	fetch(t, cargo, project, replay, ups, "fetch", "--locked")
	if p := replay.Problems(); len(p) > 0 {
		t.Errorf("replay: %s", p)
	}
}

// fetch runs cargo with an empty CARGO_HOME and no other network than a handler behind the proxy.
func fetch(t *testing.T, cargo, project string, h ecosystem.Handler, ups []ecosystem.Upstream, args ...string) {
	t.Helper()
	authority, err := ecosystem.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ca := filepath.Join(dir, ecosystem.CAFile)
	if err := os.WriteFile(ca, authority.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- ecosystem.Serve(ctx, l, ecosystem.NewProxy(h, authority)) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	base := "http://" + l.Addr().String()
	setup := Adapter{}.Setup(ecosystem.DoorProxy, base, ups)
	setup.Join(ecosystem.Setup{Env: ecosystem.SetupProxy(base, ca)})
	c := exec.Command(cargo, args...)
	c.Dir, c.Env = project, os.Environ()
	for name, value := range setup.Env {
		value = strings.ReplaceAll(strings.ReplaceAll(value, ecosystem.SetupDir+"/"+ecosystem.CAFile, ca), Home, filepath.Join(dir, "home"))
		c.Env = append(c.Env, name+"="+value)
	}
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("cargo %s: %v\n%s", args, err, out)
	}
	crates, err := filepath.Glob(filepath.Join(dir, "home", "registry", "cache", "*", "demo-1.0.0.crate"))
	if err != nil || len(crates) != 1 {
		t.Errorf("cargo %s: got the crates %s (%v), want demo", args, crates, err)
	}
}
