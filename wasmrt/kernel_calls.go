package wasmrt

import (
	"context"
	"encoding/binary"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// kernelCalls are the calls of module nuka for programs with processes, as far as they are like those of WASI: they return an errno, or a value or
// -errno where their comment says so. README.md lists all calls.
var kernelCalls = []hostFunc{
	{"wait", "iii", waitCall},
	{"sigsuspend", "I", sigsuspendCall},
	{"kill", "ii", killCall},
	{"getpid", "", func(p *proc, _ memory, _ []uint64) errno { return errno(p.pid) }},
	{"getppid", "", getppidCall},
	{"pidfd", "i", pidfdCall},
	{"pipe", "i", pipeCall},
	{"dup", "iii", dupCall},
	{"dup2", "iii", dup2Call},
	{"cloexec", "ii", cloexecCall},
	{"poll", "iii", pollCall},
	{"chdir", "ii", chdirCall},
	{"fchdir", "i", fchdirCall},
	{"getcwd", "ii", getcwdCall},
	{"chmod", "iiiii", chmodCall},
	{"fchmod", "ii", fchmodCall},
}

// negative returns an errno as calls do whose result is a value otherwise.
func negative(e errno) errno { return errno(-int32(e)) }

// defineKernel adds the calls that only programs in a kernel can make. In other programs they answer that they do not exist.
func defineKernel(b wazero.HostModuleBuilder) {
	add := func(name, params, results string, absent errno, fn func(context.Context, *image, memory, []uint64)) {
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, mod api.Module, stack []uint64) {
			img, ok := ctx.Value(procKey{}).(*image)
			if ok {
				fn(ctx, img, memory{mod.Memory()}, stack)
			} else if results != "" {
				stack[0] = uint64(absent)
			} else {
				panic(absent)
			}
		}), valueTypes(params), valueTypes(results)).Export(name)
	}
	for _, c := range kernelCalls {
		absent := eNosys
		switch c.name {
		case "getpid", "getppid", "pidfd", "dup", "dup2", "cloexec", "poll", "getcwd":
			absent = negative(eNosys)
		}
		add(c.name, c.params, "i", absent, func(ctx context.Context, img *image, m memory, stack []uint64) {
			stack[0] = uint64(img.call(ctx, c.fn, m, stack))
			img.checkNews()
		})
	}
	add("fork", "", "i", negative(eNosys), func(ctx context.Context, img *image, _ memory, stack []uint64) {
		stack[0] = uint64(img.fork(ctx, img.enter()))
	})
	add("exec2", "iiiiii", "i", eNosys, func(_ context.Context, img *image, m memory, stack []uint64) {
		stack[0] = uint64(img.exec(img.enter(), m, stack))
	})
	add("spawn", "iiiiiiiiii", "i", negative(eNosys), func(_ context.Context, img *image, m memory, stack []uint64) {
		pid, e := spawnCall(img.enter(), m, stack)
		stack[0] = uint64(pid)
		if e != eOK {
			stack[0] = uint64(negative(e))
		}
	})
	add("exit2", "i", "", eNosys, func(_ context.Context, img *image, _ memory, stack []uint64) {
		img.enter()
		img.exit(int(uint32(stack[0]) & 0xff7f))
	})
	add("setjmp", "i", "i", negative(eNosys), func(ctx context.Context, img *image, m memory, stack []uint64) {
		img.enter()
		if e := img.setjmp(ctx, m, uint32(stack[0])); e != eOK {
			panic(e) // the program cannot check it
		}
		stack[0] = 0
	})
	add("longjmp", "ii", "", eNosys, func(_ context.Context, img *image, m memory, stack []uint64) {
		img.enter()
		img.longjmp(m, uint32(stack[0]), uint64(uint32(stack[1])))
	})
	add("signals", "iI", "I", eOK, func(_ context.Context, img *image, _ memory, stack []uint64) {
		stack[0] = img.enter().signals(uint32(stack[0]), stack[1])
		img.checkNews()
	})
}

// fork copies the running process. The copy goes on at once, in the same call; the original goes on when the copy waits, ends or runs another program.
func (img *image) fork(ctx context.Context, p *proc) errno {
	if !img.forks {
		return negative(eNosys)
	}
	c, e := p.child()
	if e != eOK {
		return negative(e)
	}
	s, e := img.keep(ctx)
	if e == eOK {
		e = img.reserve(c, p.reserved)
	}
	if e == eOK {
		e = p.jumps.fork(img.k.states, &c.jumps)
	}
	if e != eOK {
		img.dropState(c)
		c.discard()
		return negative(e)
	}
	s.ret = uint64(c.pid)
	p.saved = s
	img.k.mu.Lock()
	c.enterImage(img)
	img.k.mu.Unlock()
	img.procs = append(img.procs, c)
	img.cur = c
	return 0
}

// exec makes the running process run another program: it leaves the image and gets a new one. It returns only if it fails.
//
//	exec2(path, path_len, argv, argv_len, env, env_len) errno
func (img *image) exec(p *proc, m memory, a []uint64) errno {
	load, e := p.prepare(m, a)
	if e != eOK {
		return e
	}
	k := img.k
	if err := k.host.countProgram(); err != nil {
		load.release()
		k.halt(err)
		panic(errStopped)
	}
	p.closeOnExec()
	img.dropState(p)
	for i, q := range img.procs {
		if q == p {
			img.procs = append(img.procs[:i], img.procs[i+1:]...)
			break
		}
	}
	k.mu.Lock()
	p.handled = 0
	p.pending &= p.blocked
	next := &image{k: k, hasSlot: img.hasSlot && len(img.procs) == 0}
	if next.hasSlot {
		img.hasSlot = false // this image ends
	}
	k.start(next, p, load)
	k.mu.Unlock()
	img.next()
	return eOK // not reached
}

// spawnCall starts a program as a child.
//
//	spawn(path, path_len, argv, argv_len, env, env_len, fds, nfds, cwd, cwd_len) pid or -errno
//
// fds are pairs of descriptor numbers (to, from), applied in order as by dup2; from -1 closes. No cwd is that of the caller.
func spawnCall(p *proc, m memory, a []uint64) (pid int, e errno) {
	if uint32(a[7]) > maxOpen {
		return 0, eInval
	}
	pairs, e := m.bytes(a[6], uint64(uint32(a[7]))*8)
	if e != eOK {
		return 0, e
	}
	cwd := ""
	if uint32(a[9]) > 0 {
		if cwd, e = m.str(a[8], a[9]); e != eOK {
			return 0, e
		}
		if cwd, e = p.directory(cwd); e != eOK {
			return 0, e
		}
	}
	load, e := p.prepare(m, a)
	if e != eOK {
		return 0, e
	}
	c, e := p.child()
	if e == eOK {
		for len(pairs) > 0 && e == eOK {
			e = c.redirect(int32(binary.LittleEndian.Uint32(pairs)), int32(binary.LittleEndian.Uint32(pairs[4:])))
			pairs = pairs[8:]
		}
		if e != eOK {
			c.discard()
		}
	}
	if e != eOK {
		load.release()
		return 0, e
	}
	if cwd != "" {
		c.cwd = cwd
	}
	c.closeOnExec()
	k := p.k
	k.mu.Lock()
	defer k.mu.Unlock()
	c.handled, c.pending = 0, 0
	k.start(&image{k: k}, c, load)
	return c.pid, eOK
}

// redirect makes the descriptor to another one of from, and closes it if from is negative.
func (p *proc) redirect(to, from int32) errno {
	if to < 0 || to >= maxOpen {
		return eBadf
	}
	if from < 0 {
		if to < int32(len(p.fds)) && p.fds[to] != nil {
			return p.closeFD(uint64(to))
		}
		return eOK
	}
	f, e := p.own(uint64(from))
	if e == eOK {
		p.put(int(to), f.dup())
	}
	return e
}

// waitCall waits for the end of a child.
//
//	wait(pid, options, result) errno
//
// A pid of 0 or less means any child, option 1 means not to wait. The result is the child's pid, 0 for none, and its status as waitpid has it.
func waitCall(p *proc, m memory, a []uint64) errno {
	pid, options := int(int32(a[0])), uint32(a[1])
	if _, e := m.bytes(a[2], 8); e != eOK {
		return e
	}
	k := p.k
	k.mu.Lock()
	defer k.mu.Unlock()
	found := false
	for i, c := range p.children {
		if pid > 0 && c.pid != pid {
			continue
		}
		found = true
		if !c.exited {
			continue
		}
		p.children = append(p.children[:i], p.children[i+1:]...)
		k.forget(c)
		_ = m.put32(a[2], uint32(c.pid)) // checked above
		return m.put32(a[2]+4, uint32(c.status))
	}
	if !found {
		return eChild
	}
	if options&1 != 0 {
		return m.put64(a[2], 0)
	}
	return p.wait(&waiting{what: "waits for its children", limit: -1, ready: func() bool {
		for _, c := range p.children {
			if c.exited && (pid <= 0 || c.pid == pid) {
				return true
			}
		}
		return false
	}})
}

func getppidCall(p *proc, _ memory, _ []uint64) errno {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	if p.parent == nil {
		return 1
	}
	return errno(p.parent.pid)
}
