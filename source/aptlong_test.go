package source

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/packages"
	"github.com/MordragT/nuka/source/apt"
)

// aptSets are root sets whose solutions TestSolveAsApt compares: those of the runtimes.
var aptSets = []string{
	"libc6 libc-bin base-files bash coreutils ca-certificates tzdata netbase", "libc6 libgcc-s1 libstdc++6 libssl3t64 base-files tzdata netbase",
	"python3", "python3 python3-pip python3-venv", "nodejs", "nodejs npm", "default-jdk-headless", "gcc g++ libc6-dev make cmake pkg-config", "gcc make cmake pkg-config",
	"ruby", "perl", "rustc cargo", "golang-go", "emscripten", "python3-torch python3-numpy libopenblas0-pthread", "python3-torch", "xvfb xauth dbus",
	"xdg-desktop-portal xdg-desktop-portal-gtk xdg-dbus-proxy", "libgl1 libegl1 libglx-mesa0 libgl1-mesa-dri mesa-vulkan-drivers",
	"libreoffice-writer", "firefox-esr", "postgresql", "gimp", "texlive-latex-base", "openjdk-21-jre", "qt6-base-dev", "ffmpeg",
}

// TestSolveAsApt compares Solve with apt-get on an empty system, in an apt root of its own that has the archives of this machine's apt.
func TestSolveAsApt(t *testing.T) {
	if os.Getenv("NUKA_LONG") == "" {
		t.Skip("NUKA_LONG=1 downloads Debian's index twice")
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		t.Skip("apt-get is not installed")
	}
	c := &Client{System: "/"}
	suites, err := c.DebianSuites([]string{"trixie", "trixie-updates", "trixie-security"})
	if err != nil {
		t.Fatal(err)
	}
	l := New(&Options{Client: c}).AptLoader(filepath.Join(t.TempDir(), "cache"), "")
	x, err := l.Open(t.Context(), suites, []string{"main"}, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	var list strings.Builder
	for _, s := range suites {
		fmt.Fprintf(&list, "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n", s.Archives[0].Base, s.Name)
	}
	for _, dir := range []string{"etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/trusted.gpg.d", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/lib/dpkg"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"etc/apt/sources.list": list.String(), "var/lib/dpkg/status": ""} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	get := func(args ...string) string {
		cmd := exec.Command("apt-get", append([]string{
			"-o", "Dir=" + root, "-o", "Dir::State::status=" + filepath.Join(root, "var/lib/dpkg/status"), "-o", "APT::Architecture=amd64", "-o", "APT::Architectures=amd64",
			"-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none", "-o", "APT::Install-Recommends=false",
		}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("apt-get %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	get("update")
	request, err := packages.FS.ReadFile("base/debian/lock.nuon")
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := apt.ParseRequest(request)
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^Inst (\S+?) \((\S+) `)
	for _, set := range append(aptSets, strings.Join(shipped.All(), " ")) {
		roots := strings.Fields(set)
		pins, err := x.Solve(roots, &apt.SolveOptions{})
		if err != nil {
			t.Errorf("%s: %v", set, err)
			continue
		}
		var want, got []string
		for _, m := range line.FindAllStringSubmatch(get(append([]string{"-s", "install"}, roots...)...), -1) {
			want = append(want, strings.TrimSuffix(m[1], ":amd64")+"="+m[2])
		}
		for _, p := range pins {
			got = append(got, p.Name+"="+p.Version)
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: apt-get (-), nuka (+)\n%s", set, diff)
			continue
		}
		t.Logf("%s: %d packages, as apt-get", set, len(got))
	}
}
