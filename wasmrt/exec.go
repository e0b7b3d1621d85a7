package wasmrt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"unicode/utf8"
)

const (
	// maxArgs limits the bytes of a list of arguments or variables, and maxArgCount limits its length.
	maxArgs     = 16 << 20
	maxArgCount = 1 << 17
)

// parseStrings reads a list of strings, each terminated by a zero byte.
func parseStrings(b []byte) ([]string, errno) {
	if len(b) > maxArgs {
		return nil, e2Big
	}
	if len(b) == 0 {
		return nil, eOK
	}
	if b[len(b)-1] != 0 {
		return nil, eInval
	}
	if !utf8.Valid(b) {
		return nil, eIlseq
	}
	n := bytes.Count(b, []byte{0})
	if n > maxArgCount {
		return nil, e2Big
	}
	out := make([]string, 0, n)
	for len(b) > 0 {
		i := bytes.IndexByte(b, 0)
		out = append(out, string(b[:i]))
		b = b[i+1:]
	}
	return out, eOK
}

// nukaExec is nuka.exec: it runs a program and waits for it.
//
//	exec(argv, argv_len, env, env_len, cwd, cwd_len, fds, status) errno
func nukaExec(p *proc, m memory, a []uint64) errno {
	if p.k != nil {
		return p.execChild(m, a)
	}
	if p.exec == nil {
		return eNosys
	}
	c, _, e := execCommand(p, m, a)
	if e != eOK {
		return e
	}
	if e := m.put32(a[7], 0); e != eOK { // fails before the program runs
		return e
	}
	exit, err := p.exec(p.ctx, c)
	if err == nil {
		return m.put32(a[7], uint32(exit))
	}
	var limit *LimitError
	var trap *TrapError
	switch {
	case errors.As(err, &limit):
		p.fatal = limit
		return eAgain
	case p.ctx.Err() != nil:
		p.fatal = errStopped
		return eAgain
	}
	if c.Stderr != nil {
		fmt.Fprintf(c.Stderr, "nuka: %v\n", err)
	}
	switch {
	case errors.As(err, &trap):
		return m.put32(a[7], uint32(exit))
	case errors.Is(err, fs.ErrNotExist):
		return eNoent
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return eAgain
	}
	return eNoexec
}

// execCommand reads the arguments of nuka.exec.
func execCommand(p *proc, m memory, a []uint64) (*Command, [3]*lent, errno) {
	c, std := &Command{Dir: p.cwd, Env: p.env}, [3]*lent{}
	b, e := m.bytes(a[0], a[1])
	if e != eOK {
		return nil, std, e
	}
	if c.Args, e = parseStrings(b); e != eOK {
		return nil, std, e
	}
	if len(c.Args) == 0 || c.Args[0] == "" {
		return nil, std, eInval
	}
	if uint32(a[2]) != 0 {
		if b, e = m.bytes(a[2], a[3]); e != eOK {
			return nil, std, e
		}
		if c.Env, e = parseStrings(b); e != eOK {
			return nil, std, e
		}
	} else {
		c.Env = withoutPWD(c.Env)
	}
	if uint32(a[4]) != 0 {
		dir, e := m.str(a[4], a[5])
		if e != eOK {
			return nil, std, e
		}
		if c.Dir, e = p.directory(dir); e != eOK {
			return nil, std, e
		}
	}
	std, e = execStreams(p, m, a[6])
	c.Stdin, c.Stdout, c.Stderr = reader(std[0]), writer(std[1]), writer(std[2])
	return c, std, e
}

// execStreams returns the standard streams for a program. If fds is 0, they are the caller's own.
// Otherwise fds points to three descriptor numbers in the caller's memory.
func execStreams(p *proc, m memory, fds uint64) (std [3]*lent, e errno) {
	numbers := [3]int32{0, 1, 2}
	if uint32(fds) != 0 {
		b, e := m.bytes(fds, 12)
		if e != eOK {
			return std, e
		}
		for i := range numbers {
			numbers[i] = int32(binary.LittleEndian.Uint32(b[4*i:]))
		}
	}
	for i, n := range numbers {
		if n < 0 {
			continue
		}
		f, e := p.get(uint64(uint32(n)))
		switch {
		case e == eOK && f.file == nil:
			return std, eIsdir
		case e == eOK:
			std[i] = &lent{f}
		case uint32(fds) != 0: // a closed standard stream stays closed; any other closed descriptor is an error
			return std, e
		}
	}
	return std, eOK
}

func reader(l *lent) io.Reader {
	if l == nil {
		return nil
	}
	return l
}

func writer(l *lent) io.Writer {
	if l == nil {
		return nil
	}
	return l
}

// withoutPWD removes PWD; the new program gets its own.
func withoutPWD(env []string) []string {
	out := make([]string, 0, len(env))
	for _, e := range env {
		if len(e) < 4 || e[:4] != "PWD=" {
			out = append(out, e)
		}
	}
	return out
}
