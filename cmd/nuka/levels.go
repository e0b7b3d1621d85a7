package main

import (
	"context"
	"runtime"

	"golang.org/x/sys/cpu"

	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// levelFlag is the flag by which packages take, by convention, the level of the CPU that they are built for.
const levelFlag = "--cpu"

// machineCPU returns the highest level that this machine runs. x/sys does not know F16C, LZCNT and MOVBE of x86_64_v3; every processor with
// AVX2, BMI2 and FMA has them. Source: x86-64 psABI, section 3.1.1.
func machineCPU() pir.CPU {
	x := &cpu.X86
	switch {
	case runtime.GOARCH == "arm64":
		return "aarch64"
	case runtime.GOARCH != "amd64":
		return pir.CPU(runtime.GOARCH)
	case !(x.HasCX16 && x.HasPOPCNT && x.HasSSE3 && x.HasSSE41 && x.HasSSE42 && x.HasSSSE3):
		return "x86_64"
	case !(x.HasAVX && x.HasAVX2 && x.HasBMI1 && x.HasBMI2 && x.HasFMA && x.HasOSXSAVE):
		return "x86_64_v2"
	case !(x.HasAVX512F && x.HasAVX512BW && x.HasAVX512CD && x.HasAVX512DQ && x.HasAVX512VL):
		return "x86_64_v3"
	}
	return "x86_64_v4"
}

// bestLevel returns the arguments of a package with the highest level of this machine for which its content is here or attested, or else with the
// machine's own level. It says which levels it has tried.
func (a *app) bestLevel(ctx context.Context, pkg string, args []string) ([]string, error) {
	levels := machineCPU().Levels()
	for _, level := range levels {
		with := append(args[:len(args):len(args)], levelFlag, string(level))
		there, err := a.attested(ctx, pkg, with)
		if err != nil {
			return nil, err
		}
		if there {
			a.say("level %s: it is here or attested", level)
			return with, nil
		}
		a.say("level %s: it is neither here nor attested", level)
	}
	a.say("build it for %s, the level of this machine", levels[0])
	return append(args[:len(args):len(args)], levelFlag, string(levels[0])), nil
}

// attested reports whether a package's content is here, or comes from other nodes by claims that the policy counts.
func (a *app) attested(ctx context.Context, pkg string, args []string) (bool, error) {
	client, result, err := a.evalConnected(ctx, pkg, args)
	if err != nil {
		return false, err
	}
	defer client.Close()
	call, packages := a.realizeArgs(result)
	var plan protocol.Plan
	if err := client.Call(ctx, protocol.OpPlan, call, &plan, &control.CallOptions{Data: packages}); err != nil {
		return false, err
	}
	for _, s := range plan.Steps {
		if s.PID == result.Root {
			return s.How == protocol.Receive || s.How == protocol.Keep, nil
		}
	}
	return true, nil // nothing has to be done for it
}
