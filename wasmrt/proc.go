package wasmrt

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// maxOpen is how many files one program may have open.
const maxOpen = 4096

// proc is one running program: the state that its calls act on.
// A program has one thread, so locks guard only state shared with other programs.
type proc struct {
	ctx    context.Context
	name   string
	fs     *FS
	cwd    string
	env    []string
	args   []string
	golang bool
	clock  clock
	random io.Reader
	exec   ExecFunc
	host   func(context.Context, []byte) []byte
	fds    []*fd
	lowest int // all numbers below are in use
	stop   atomic.Bool
	// fatal is the error if one of the program's own calls ended it.
	fatal error
	process
}

// fd is one entry of a program's table of open files.
type fd struct {
	opened
	read, write, atEnd, nonblock bool
	syncs                        uint16  // the flags of fdflagSyncs given at open
	preopen                      string  // the name, if this is a preopened directory
	borrowed                     bool    // another program or the host owns the file: it stays open when the program ends
	cloexec                      bool    // not for the next program of the process
	shared                       *shared // counts the descriptors of the open file; nil for one
	list                         []dirent
	listed                       bool
	// The rights that the program gave up, for this descriptor and for descriptors opened by paths from it.
	lost, lostBelow uint64
}

type procKey struct{}

// clock is the fixed clock, or the real one.
// The fixed clock advances by a microsecond with each reading, so that a loop that waits for it ends. A sleep takes no
// time, but advances the clock by its length. The fixed clock depends only on what the program does.
type clock struct {
	real  bool
	start time.Time
	mono  int64
}

func (c *clock) wall() int64 {
	if c.real {
		return time.Now().UnixNano()
	}
	c.mono += 1000
	return Epoch.UnixNano() + c.mono/1e9*1e9 // whole seconds, so that frequent readings do not show
}

func (c *clock) monotonic() int64 {
	if c.real {
		return int64(time.Since(c.start)) + 1
	}
	c.mono += 1000
	return c.mono
}

// passed advances the fixed clock by a time that a program has waited.
func (c *clock) passed(d time.Duration) {
	if !c.real && d > 0 {
		c.mono += int64(d)
	}
}

func (c *clock) sleep(ctx context.Context, d time.Duration) {
	c.passed(d)
	if d <= 0 || !c.real {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// seeded returns the random numbers of a program. The same arguments in the same directory give the same numbers.
func seeded(args []string, cwd string) io.Reader {
	seed := sha256.Sum256([]byte(strings.Join(args, "\x00") + "\x00" + cwd))
	return mathrand.NewChaCha8(seed)
}

func realRandom() io.Reader { return rand.Reader }

func (p *proc) add(f *fd) (uint32, errno) {
	for i := p.lowest; i < len(p.fds); i++ {
		if p.fds[i] == nil {
			p.fds[i] = f
			p.lowest = i + 1
			return uint32(i), eOK
		}
	}
	if len(p.fds) >= maxOpen {
		return 0, eMfile
	}
	p.fds = append(p.fds, f)
	p.lowest = len(p.fds)
	return uint32(len(p.fds) - 1), eOK
}

// get returns an open descriptor, or one that stands for a directory; see standing.
func (p *proc) get(n uint64) (*fd, errno) {
	if at, ok := p.standing(n); ok {
		return &fd{opened: opened{path: at}}, eOK
	}
	return p.own(n)
}

// own returns a descriptor in the program's table.
func (p *proc) own(n uint64) (*fd, errno) {
	i := uint32(n)
	if int64(i) >= int64(len(p.fds)) || p.fds[i] == nil {
		return nil, eBadf
	}
	return p.fds[i], eOK
}

func (p *proc) closeFD(n uint64) errno {
	f, e := p.own(n)
	if e != eOK {
		return e
	}
	i := int(uint32(n))
	p.fds[i] = nil
	p.lowest = min(p.lowest, i)
	return f.release()
}

func (p *proc) closeAll() {
	for i, f := range p.fds {
		if f != nil {
			_ = p.closeFD(uint64(i))
		}
	}
}

// dirAt returns the directory that the path in a call starts from, and the path.
//
// wasi-libc does not distinguish "/tmp/x" from "tmp/x": it strips the slash and then looks for a preopened directory whose
// name is a prefix of the path. So if the working directory has a directory "tmp", "tmp/x" arrives as x in /tmp.
// In this case dirAt chooses the working directory. Go resolves paths itself, so dirAt takes its directories as given.
func (p *proc) dirAt(n uint64, name string) (base, rest string, e errno) {
	f, e := p.get(n)
	if e != eOK {
		return "", "", e
	}
	if f.file != nil {
		return "", "", eNotdir
	}
	if f.preopen != "" && f.preopen != "." && !p.golang {
		local := strings.TrimPrefix(f.preopen, "/")
		first, _, _ := strings.Cut(name, "/")
		if first != "" && first != "." && first != ".." {
			if l, e := p.fs.walk(p.cwd, local, true); e == eOK && l.info.kind == kindDir && !p.fs.under(join(f.preopen, first)) {
				if _, e := p.fs.walk(f.preopen, first, false); e != eOK {
					return p.cwd, local + "/" + name, eOK
				}
			}
		}
	}
	base, e = f.where()
	return base, name, e
}

// call is the type of all calls; the arguments are on the stack.
type call func(p *proc, m memory, a []uint64) errno

// memory is the linear memory of a program; reads and writes outside of it fail.
type memory struct{ api.Memory }

func (m memory) bytes(ptr, n uint64) ([]byte, errno) {
	if m.Memory == nil {
		return nil, eFault
	}
	b, ok := m.Read(uint32(ptr), uint32(n))
	if !ok {
		return nil, eFault
	}
	return b, eOK
}

func (m memory) str(ptr, n uint64) (string, errno) {
	if uint32(n) > maxPath {
		return "", eNametoolong
	}
	b, e := m.bytes(ptr, n)
	return string(b), e
}

func (m memory) put32(ptr uint64, v uint32) errno {
	if m.Memory == nil || !m.WriteUint32Le(uint32(ptr), v) {
		return eFault
	}
	return eOK
}

func (m memory) put64(ptr uint64, v uint64) errno {
	if m.Memory == nil || !m.WriteUint64Le(uint32(ptr), v) {
		return eFault
	}
	return eOK
}

// instantiateHost adds to a wazero runtime the host modules that programs import.
func instantiateHost(ctx context.Context, rt wazero.Runtime) error {
	wasi := rt.NewHostModuleBuilder("wasi_snapshot_preview1")
	for _, c := range wasiCalls {
		define(wasi, c)
	}
	wasi.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(procExit),
		[]api.ValueType{api.ValueTypeI32}, nil).Export("proc_exit")
	if _, err := wasi.Instantiate(ctx); err != nil {
		return fmt.Errorf("wasi: %w", err)
	}
	own := rt.NewHostModuleBuilder("nuka")
	define(own, hostFunc{"exec", "iiiiiiii", nukaExec}) // docs/wasi.md describes it for authors of programs
	defineKernel(own)
	own.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(hostCall),
		[]api.ValueType{api.ValueTypeI32, api.ValueTypeI32}, []api.ValueType{api.ValueTypeI64}).Export("host")
	if _, err := own.Instantiate(ctx); err != nil {
		return fmt.Errorf("nuka: %w", err)
	}
	if err := instantiateEmscripten(ctx, rt); err != nil {
		return fmt.Errorf("env: %w", err)
	}
	return nil
}

// checkImports returns an error that names the first function that a program imports and nuka does not have. It looks once: making wazero's maps of
// functions takes longer than a start.
func (c *compiled) checkImports() error {
	c.looked.Do(func() {
		for _, f := range c.code.ImportedFunctions() {
			module, name, _ := f.Import()
			if host := c.rt.Module(module); host == nil || host.ExportedFunctionDefinitions()[name] == nil {
				c.missing = fmt.Errorf("it imports the function %s.%s, which nuka does not have", module, name)
				return
			}
		}
	})
	return c.missing
}

// hostFunc is one call; params has a letter for each argument, i for 32 bits and I for 64 bits.
type hostFunc struct {
	name   string
	params string
	fn     call
}

var paramTypes sync.Map // string → []api.ValueType

// valueTypes returns the types that the letters of a hostFunc mean.
func valueTypes(letters string) []api.ValueType {
	if t, ok := paramTypes.Load(letters); ok {
		return t.([]api.ValueType)
	}
	var types []api.ValueType
	for _, l := range letters {
		if l == 'I' {
			types = append(types, api.ValueTypeI64)
		} else {
			types = append(types, api.ValueTypeI32)
		}
	}
	paramTypes.Store(letters, types)
	return types
}

func define(b wazero.HostModuleBuilder, c hostFunc) {
	fn := c.fn
	b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, mod api.Module, stack []uint64) {
		caller := ctx.Value(procKey{})
		if img, ok := caller.(*image); ok {
			stack[0] = uint64(img.call(ctx, fn, memory{mod.Memory()}, stack))
			return
		}
		p, ok := caller.(*proc)
		if !ok {
			stack[0] = uint64(eNosys)
			return
		}
		if p.stop.Load() {
			panic(errStopped)
		}
		e := fn(p, memory{mod.Memory()}, stack)
		if p.fatal != nil {
			panic(p.fatal)
		}
		stack[0] = uint64(e)
	}), valueTypes(c.params), valueTypes("i")).Export(c.name)
}
