package foreign

import (
	"bufio"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/zeebo/blake3"

	"github.com/MordragT/nuka/foreign/elfdeps"
	"github.com/MordragT/nuka/internal/lazyregexp"
)

var notApp = lazyregexp.New(`[^A-Za-z0-9._+-]+`)

// AppName returns the name of an application for a word, such as the name of a package.
func AppName(word string) string {
	name := strings.Trim(notApp().ReplaceAllString(filepath.Base(word), "-"), "._+-")
	if name == "" {
		return "program"
	}
	return name[:min(len(name), 80)]
}

// AppOfFile returns the name of the application that a file of this machine is, by its absolute path: its own name and a hash of the path. Otherwise a file could
// get the home and the permissions of another application by its name.
func AppOfFile(at string) string {
	sum := blake3.Sum256([]byte(at))
	return AppName(strings.TrimSuffix(filepath.Base(at), ".nu")) + "-" + hex.EncodeToString(sum[:4])
}

// An AbsentError says that a program is not in a root.
type AbsentError struct {
	Program string // a name, or an absolute path
	Script  bool   // the first line of a script names it
}

func (e *AbsentError) Error() string {
	switch {
	case e.Script:
		return fmt.Sprintf("its first line names %s, which the runtime does not have", e.Program)
	case strings.Contains(e.Program, "/"):
		return "the program would not see " + e.Program
	}
	return "the runtime has no program " + e.Program
}

// Find returns the path inside of a program: a path as it is, and a name as the first in the folders of search, a list as in PATH. AbsentError.
func Find(root elfdeps.Root, search, program string) (string, error) {
	if strings.Contains(program, "/") {
		if _, info, err := elfdeps.Resolve(root, program); err != nil || !info.Mode().IsRegular() {
			return "", &AbsentError{Program: program}
		}
		return program, nil
	}
	for dir := range strings.SplitSeq(search, ":") {
		at := path.Join(dir, program)
		if _, info, err := elfdeps.Resolve(root, at); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return at, nil
		}
	}
	return "", &AbsentError{Program: program}
}

// maxLine is the longest first line of a script that Linux reads (BINPRM_BUF_SIZE).
const maxLine = 256

// needs returns what a program lacks in a root, and the scan that found it. Of a script it looks for the interpreter and what that needs.
func needs(root elfdeps.Root, env map[string]string, program string) (*elfdeps.Report, *elfdeps.Scan, error) {
	at := program
	for range 4 { // Linux follows so many interpreters
		interpreter, err := scriptOf(root, at)
		if err != nil {
			return nil, nil, err
		}
		if interpreter == nil {
			break
		}
		if path.Base(interpreter[0]) == "env" && len(interpreter) > 1 {
			words := strings.Fields(strings.TrimPrefix(interpreter[1], "-S"))
			if len(words) > 0 {
				interpreter[0] = words[0]
			}
		}
		next, err := Find(root, env["PATH"], interpreter[0])
		if err != nil {
			return nil, nil, &AbsentError{interpreter[0], true}
		}
		at = next
	}
	var libraries []string
	if list := env["LD_LIBRARY_PATH"]; list != "" {
		libraries = strings.Split(list, ":")
	}
	scan := elfdeps.NewScan(root, Machine(), libraries)
	if err := scan.Add(at, false); err != nil && !errors.Is(err, elfdeps.ErrNotELF) {
		return nil, nil, err
	}
	return scan.Report(), scan, nil
}

// Machine is the machine whose programs run here.
func Machine() elf.Machine {
	switch runtime.GOARCH {
	case "arm64":
		return elf.EM_AARCH64
	case "riscv64":
		return elf.EM_RISCV
	}
	return elf.EM_X86_64
}

// scriptOf returns the interpreter of a script and its argument, or nil if the file is no script.
func scriptOf(root elfdeps.Root, at string) ([]string, error) {
	resolved, info, err := elfdeps.Resolve(root, at)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: at, Err: errors.New("no regular file")}
	}
	f, err := root.Open(resolved)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	line, err := bufio.NewReader(io.LimitReader(f, maxLine)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	rest, script := strings.CutPrefix(line, "#!")
	if !script {
		return nil, nil
	}
	first, argument, _ := strings.Cut(strings.TrimSpace(rest), " ")
	if first == "" {
		return nil, nil
	}
	if argument = strings.TrimSpace(argument); argument == "" {
		return []string{first}, nil
	}
	return []string{first, argument}, nil
}
