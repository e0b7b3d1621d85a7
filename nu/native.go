package nu

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/wasmrt"
)

// A NativeCommand is one run of a program of the runtime, by a native build.
type NativeCommand struct {
	wasmrt.Command
	Input []byte // standard input; nil is the null device
	Merge bool   // standard error goes where standard output goes
}

// runtime reads the runtime of a native build, and the platform that its output needs.
func (s *session) runtime(p *pir.PIR, spec nuon.Record) error {
	v, there := spec["runtime"]
	if !there {
		return nil
	}
	if p.Kind != pir.Native {
		return wrong("runtime", "add what to do with it: build: {|b| … }", "goes only with `build`")
	}
	rec, _ := v.(nuon.Record)
	text, _ := rec["pid"].(string)
	id, err := pir.ParsePID(text)
	if err != nil {
		return wrong("runtime", "call it: runtime: (cc), after `use lang/cc.nu`", "is no package")
	}
	p.Runtime = id
	i, known := s.index[id]
	if !known {
		return wrong("runtime", "call its package: runtime: (cc)", "%s was not described in this evaluation", id.Short())
	}
	env, err := pir.Decode(s.packages[i].Canonical)
	if err != nil {
		return err
	}
	if env.Layout != pir.LayoutFHS1 {
		return wrong("runtime", "a runtime is an environment with layout: "+string(pir.LayoutFHS1), "%s is no runtime", env.Name)
	}
	if p.Platform != pir.Any {
		return nil
	}
	if p.Platform = env.Platform; p.Platform == pir.Any {
		p.Platform = pir.Platform{OS: "linux", CPU: "x86_64", Libc: "gnu"}
	}
	return nil
}

// nativeEnv returns the variables that the closure of a native build and its programs begin with.
func nativeEnv(p *pir.PIR) map[string]string {
	var search []string
	for _, name := range slices.Sorted(maps.Keys(p.Packages)) {
		search = append(search, StoreDir+"/"+p.Packages[name].String()+"/bin")
	}
	env := map[string]string{
		"PATH": strings.Join(append(search, "/usr/local/bin", "/usr/bin", "/bin"), ":"),
		"HOME": HomeDir, "USER": "nuka", "LOGNAME": "nuka", "SHELL": "/bin/sh", "TMPDIR": "/tmp", "LANG": "C.UTF-8", "TZ": "UTC",
		// The time at which WebAssembly builds begin. Formats such as zip know no earlier one.
		"SOURCE_DATE_EPOCH": strconv.FormatInt(wasmrt.Epoch.Unix(), 10),
		"ZERO_AR_DATE":      "1", "PYTHONHASHSEED": "0",
	}
	maps.Copy(env, levelEnv(p.Platform.CPU))
	maps.Copy(env, p.Env)
	return env
}

// levelEnv returns the variables that make compilers use what a CPU has. Source: GCC manual, x86 and AArch64 options; go.dev/wiki/MinimumRequirements;
// the rustc book, codegen options.
func levelEnv(cpu pir.CPU) map[string]string {
	c := func(march string) map[string]string {
		flags := "-O2 -march=" + march
		return map[string]string{"CFLAGS": flags, "CXXFLAGS": flags}
	}
	name := string(cpu)
	switch {
	case cpu == "x86_64":
		env := c("x86-64")
		env["GOAMD64"], env["RUSTFLAGS"] = "v1", "-Ctarget-cpu=x86-64"
		return env
	case strings.HasPrefix(name, "x86_64_v"):
		level := strings.TrimPrefix(name, "x86_64_")
		env := c("x86-64-" + level)
		env["GOAMD64"], env["RUSTFLAGS"] = level, "-Ctarget-cpu=x86-64-"+level
		return env
	case cpu == "aarch64":
		env := c("armv8-a")
		env["GOARM64"] = "v8.0"
		return env
	case strings.HasPrefix(name, "armv"):
		level := strings.TrimSuffix(strings.TrimPrefix(name, "armv"), "a")
		env := c("armv" + level + "-a")
		env["GOARM64"] = "v" + level
		return env
	}
	return nil
}

// nativeArg adds to a closure's argument what only native builds have.
func nativeArg(p *pir.PIR, arg nuon.Record) {
	arg["platform"], arg["cpu"] = p.Platform.String(), string(p.Platform.CPU)
	arg["runtime"] = StoreDir + "/" + p.Runtime.String()
}

// run runs a program: in WebAssembly, or, in a native build, in the runtime if it is no WebAssembly program of the inputs.
func (b *building) run(ctx context.Context, r *execRequest, c *wasmrt.Command) (exit int, err error) {
	if b.spec.Native == nil || len(r.Argv) == 0 {
		return b.spec.Host.Exec(ctx, c)
	}
	native, err := b.spec.Host.Native(r.Argv[0], r.Cwd)
	if err != nil {
		return 0, err
	}
	if !native {
		return b.spec.Host.Exec(ctx, c)
	}
	n := &NativeCommand{Command: *c, Input: r.Stdin, Merge: r.Merge}
	n.Stdout, n.Stderr = b.spec.Host.Meter(c.Stdout), b.spec.Host.Meter(c.Stderr)
	return b.spec.Native(ctx, n)
}
