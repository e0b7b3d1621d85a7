package sandbox

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// LauncherName is the name of the launcher's program.
const LauncherName = "nuka-sandbox"

// FindLauncher returns the absolute path of the launcher: beside the program of this process, or else in PATH.
// If there is none, the error wraps exec.ErrNotFound.
func FindLauncher() (string, error) {
	name := LauncherName
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	if exe, err := os.Executable(); err == nil {
		if exe, err := filepath.EvalSymlinks(exe); err == nil {
			beside := filepath.Join(filepath.Dir(exe), name)
			if st, err := os.Stat(beside); err == nil && st.Mode().IsRegular() {
				return beside, nil
			}
		}
	}
	p, err := exec.LookPath(name)
	if err != nil {
		return "", &SetupError{Step: "find the launcher", Object: name, Detail: "it is neither beside this program nor in PATH",
			Hint: "install " + name + " beside nuka", cause: exec.ErrNotFound}
	}
	return filepath.Abs(p)
}
