package profile

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/MordragT/nuka/protocol"
)

// awkward are values that a shell could take for code.
var awkward = []string{"", "plain", "a b", "it's", `"q"`, "$(touch pwned)", "`touch pwned`", "a;touch pwned", "line\nfeed", `back\slash\'`, "ümläut", "* ? [a]", "-n", "!x"}

// TestAssign lets each shell that is on this machine read variables back.
func TestAssign(t *testing.T) {
	run := map[string][]string{
		"bash": {"bash", "--norc", "-c"}, "zsh": {"zsh", "-f", "-c"}, "fish": {"fish", "--no-config", "-c"}, "powershell": {"pwsh", "-NoProfile", "-Command"},
	}
	tried := 0
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if _, err := exec.LookPath(run[shell][0]); err != nil {
			t.Logf("%s is not on this machine", shell)
			continue
		}
		tried++
		for _, value := range awkward {
			code, err := Assign(shell, map[string]*string{"NUKA_X": &value, "NUKA_GONE": nil})
			if err != nil {
				t.Fatal(err)
			}
			c := exec.Command(run[shell][0], append(run[shell][1:], code+"\nenv")...)
			c.Env = append(os.Environ(), "NUKA_GONE=still")
			c.Dir = t.TempDir()
			out, err := c.CombinedOutput()
			if err != nil || !strings.Contains("\n"+string(out)+"\n", "\nNUKA_X="+value+"\n") || strings.Contains(string(out), "NUKA_GONE") {
				t.Errorf("%s: %q: got %v\n%s", shell, value, err, out)
			}
			if _, err := os.Stat(filepath.Join(c.Dir, "pwned")); err == nil {
				t.Errorf("%s: %q was run", shell, value)
			}
		}
	}
	if tried == 0 {
		t.Skip("no shell is on this machine")
	}
}

func TestAssignNu(t *testing.T) {
	for _, value := range awkward {
		text, err := Assign("nu", map[string]*string{"A": &value, "B": nil})
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]*string
		if err := json.Unmarshal([]byte(text), &got); err != nil || got["A"] == nil || *got["A"] != value || got["B"] != nil {
			t.Errorf("%q: got %v, %v", value, got, err)
		}
	}
}

// TestHookSyntax lets each shell that is on this machine check the syntax of its hook, and bash run it under strict settings.
func TestHookSyntax(t *testing.T) {
	check := map[string][]string{"bash": {"bash", "-n"}, "zsh": {"zsh", "-n"}, "fish": {"fish", "--no-execute"}, "nu": {"nu", "--ide-check", "1"}}
	for _, shell := range Shells() {
		text, err := Hook(shell, "/opt/it's a/nuka", "/home dir/default/current")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text, "@") && strings.Contains(text, "@NUKA@") || strings.Contains(text, "@BIN@") {
			t.Errorf("%s: a placeholder is left\n%s", shell, text)
		}
		c, ok := check[shell]
		if !ok {
			continue
		}
		if _, err := exec.LookPath(c[0]); err != nil {
			t.Logf("%s is not on this machine", shell)
			continue
		}
		file := filepath.Join(t.TempDir(), "hook")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(c[0], append(c[1:], file)...).CombinedOutput(); err != nil || strings.Contains(string(out), "rror") {
			t.Errorf("%s: %v\n%s", shell, err, out)
		}
		if shell != "bash" {
			continue
		}
		run := exec.Command("bash", "--norc", "-euc", `. "$1"; . "$1"; eval "$PROMPT_COMMAND"; printf '%s|%s|%s' "$PATH" "$MANPATH" "$XDG_DATA_DIRS"`, "-", file)
		run.Env = []string{"PATH=/usr/bin:/bin"}
		run.Dir = "/"
		out, err := run.CombinedOutput()
		const at = "/home dir/default/current"
		if want := at + "/bin:/usr/bin:/bin|" + at + "/tree/share/man:|" + at + "/tree/share:/usr/local/share:/usr/share"; err != nil || string(out) != want {
			t.Errorf("got %q, %v; want %q", out, err, want)
		}
	}
	if _, err := Hook("tcsh", "/nuka", "/x"); protocol.CodeOf(err) != protocol.Invalid {
		t.Errorf("got %v, want invalid", err)
	}
	if _, err := Hook("bash", "/a\nb", "/x"); protocol.CodeOf(err) != protocol.Invalid {
		t.Errorf("got %v, want invalid", err)
	}
}

func TestPermissions(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "data", "allowed.nuon")
	p := OpenPermissions(file)
	if _, ok, err := p.Get("/a"); ok || err != nil {
		t.Errorf("got %v, %v; want no permission", ok, err)
	}
	for _, folder := range []string{"/a", "/it's \"b\""} {
		if err := p.Set(folder, &Permission{Key: folder + "key", Files: "f"}); err != nil {
			t.Fatal(err)
		}
	}
	if got, ok, err := p.Get("/a"); !ok || err != nil || got != (Permission{"/akey", "f"}) {
		t.Errorf("got %v, %v, %v", got, ok, err)
	}
	if err := p.Set("/a", nil); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := p.Get("/a"); ok || err != nil {
		t.Errorf("got %v, %v; want no permission", ok, err)
	}
	if _, ok, _ := p.Get("/it's \"b\""); !ok {
		t.Error("the other permission is gone")
	}
	for _, text := range []string{"", "{}", "[]", `{"allowed":2,"folders":{}}`, strings.Repeat("[", 1000)} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := p.Get("/a"); ok || protocol.CodeOf(err) != protocol.Damaged {
			t.Errorf("%q: got %v, %v; want damaged", text, ok, err)
		}
		if err := p.Set("/a", &Permission{}); protocol.CodeOf(err) != protocol.Damaged {
			t.Errorf("%q: got %v, want damaged", text, err)
		}
	}
	// The key changes with the text, and a folder above counts.
	if err := os.WriteFile(filepath.Join(dir, FolderFile), []byte("a"), 0o644); err != nil {
		t.Fatal(err)
	}
	a, err := FolderKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, FolderFile), []byte("b"), 0o644); err != nil {
		t.Fatal(err)
	}
	if b, err := FolderKey(dir); err != nil || a == b {
		t.Errorf("got %s and %s, %v", a, b, err)
	}
	if got := FindFolder(filepath.Join(dir, "data")); got != dir {
		t.Errorf("got %q, want %q", got, dir)
	}
}
