package early

import "syscall"

func init() {
	if words := arguments(); len(words) > 2 && words[1] == "exec" {
		start(words)
	}
}

// arguments returns the arguments of this process.
func arguments() []string {
	b := read("/proc/self/cmdline")
	var words []string
	for from, i := 0, 0; i < len(b); i++ {
		if b[i] == 0 {
			words = append(words, string(b[from:i]))
			from = i + 1
		}
	}
	return words
}

func start(words []string) {
	buf := make([]byte, maxPath)
	n, err := syscall.Readlink("/proc/self/exe", buf)
	if err != nil || n == len(buf) {
		return
	}
	self := string(buf[:n])
	end := n
	for end > 0 && self[end-1] != '/' {
		end--
	}
	env := syscall.Environ()
	for _, e := range env {
		if len(e) > len(Unprepared) && e[:len(Unprepared)] == Unprepared && e[len(Unprepared)] == '=' {
			return
		}
	}
	// If the program is not there, this process goes on.
	_ = syscall.Exec(self[:end]+starter, append([]string{words[0], Mode, self}, words[2:]...), env)
}

// read returns the content of a file, or what can be read of it.
func read(name string) []byte {
	fd, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer syscall.Close(fd)
	b := make([]byte, 0, 4096)
	for {
		if len(b) == cap(b) {
			b = append(make([]byte, 0, 2*cap(b)), b...)
		}
		n, err := syscall.Read(fd, b[len(b):cap(b)])
		if err == syscall.EINTR {
			continue
		}
		if n <= 0 || err != nil {
			return b
		}
		b = b[:len(b)+n]
	}
}
