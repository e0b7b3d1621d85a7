package sandbox

import (
	"context"
	"fmt"

	llsyscall "github.com/landlock-lsm/go-landlock/landlock/syscall"

	"github.com/MordragT/nuka/internal/seccomp"
)

// landlockVersion returns the version of the kernel's Landlock, or 0.
func landlockVersion() int {
	v, err := llsyscall.LandlockGetABIVersion()
	if err != nil {
		return 0
	}
	return v
}

// Check lists what this machine offers to sandboxes. It sets one up with everything that a sandbox can have, and runs nothing in it.
func Check(ctx context.Context, launcher string) []Finding {
	var out []Finding
	trial := Finding{What: "sandbox of foreign programs", OK: true, Detail: "all name spaces can be made"}
	status, err := Run(ctx, launcher, &Spec{Mounts: []Mount{{Kind: Proc, Target: "/proc"}, {Kind: Dev, Target: "/dev"}, {Kind: Tmpfs, Target: "/tmp"}}}, nil)
	if err == nil && status.Code != 0 {
		err = fmt.Errorf("the launcher ended with %d", status.Code)
	}
	if err != nil {
		trial.OK, trial.Detail, trial.Hint = false, err.Error(), Hint(err)
	}
	out = append(out, trial)

	v := landlockVersion()
	ll := Finding{What: "Landlock", OK: v >= 1, Detail: fmt.Sprintf("version %d", v), Hint: "use a kernel with CONFIG_SECURITY_LANDLOCK and landlock in the boot option lsm="}
	if v >= 1 && v < 6 {
		ll.Detail += "; from 6 on it also keeps signals and abstract sockets apart"
	}
	out = append(out, ll, Finding{What: "seccomp", OK: seccomp.Supported(), Detail: "filters of system calls", Hint: "use a kernel with CONFIG_SECCOMP_FILTER, on amd64 or arm64"})

	clock := Finding{What: "clock of a sandbox", OK: true, Detail: "a time name space can be made"}
	if _, err := Run(ctx, launcher, &Spec{Clock: &Clock{Monotonic: 1}}, nil); trial.OK && err != nil {
		clock.OK, clock.Detail, clock.Hint = false, err.Error(), "use Linux 6.0 or later, with CONFIG_TIME_NS"
	}
	return append(out, clock, limitsFinding())
}
