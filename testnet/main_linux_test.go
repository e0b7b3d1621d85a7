package testnet

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	_ "github.com/MordragT/nuka/node" // the code of the programs: a change makes cached test results stale
)

var (
	programs string // folder of nuka and nukad
	packages string // folder of package files
)

func TestMain(m *testing.M) {
	if home := os.Getenv(liarEnv); home != "" {
		seed, _ := strconv.Atoi(os.Getenv(liarEnv + "_SEED"))
		fmt.Fprintln(os.Stderr, lieForever(home, os.Getenv(liarEnv+"_IP"), byte(seed)))
		os.Exit(1)
	}
	flag.Parse()
	os.Exit(func() int {
		if os.Getuid() != 0 {
			return m.Run() // every test is skipped
		}
		dir, err := os.MkdirTemp("", "nuka-testnet-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if err := prepare(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// prepare builds the programs, and a package with a WebAssembly program from a file, without network access.
func prepare(dir string) error {
	programs, packages = filepath.Join(dir, "bin"), filepath.Join(dir, "packages")
	gobuild := func(env []string, args ...string) error {
		c := exec.Command("go", append([]string{"build", "-trimpath", "-buildvcs=false"}, args...)...)
		c.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %v\n%s", err, out)
		}
		return nil
	}
	if err := gobuild(nil, "-o", programs+"/", "../cmd/nuka", "../cmd/nukad"); err != nil {
		return err
	}
	if err := gobuild([]string{"GOOS=wasip1", "GOARCH=wasm"}, "-o", filepath.Join(packages, "tool.wasm"), "../cmd/nuka/testdata/tool"); err != nil {
		return err
	}
	for _, pattern := range []string{"../cmd/nuka/*.go", "../cmd/nukad/*.go"} { // the same for the packages that cannot be imported
		sources, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, name := range sources {
			if _, err := os.ReadFile(name); err != nil {
				return err
			}
		}
	}
	for name, text := range map[string]string{
		"tool.nu": `export def main [] {
  derivation {
    name: tool, version: "1", src: (fetch path ./tool.wasm)
    build: {|b| mkdir $"($b.out)/bin"; cp $b.src $"($b.out)/bin/tool" }
  }
}
`,
		"app.nu": `use ./tool.nu
export def main [--text: string = "app"] {
  derivation {
    name: app, version: "1", packages: [(tool)]
    build: {|b|
      mkdir $"($b.out)/bin"
      ^tool write $"($b.out)/text" $text
      wrap exe $"($b.out)/bin/app" tool --args [echo hello from $text]
    }
  }
}
`,
	} {
		if err := os.WriteFile(filepath.Join(packages, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
