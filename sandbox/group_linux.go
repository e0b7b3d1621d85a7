package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A limitFile is the file of a control group that holds a limit.
type limitFile struct {
	controller string
	name       string
	value      string
	held       func(*Held) *string
}

// period is the time over which the kernel counts the use of processors, in microseconds.
const period = 100_000

func heldMemory(h *Held) *string    { return &h.Memory }
func heldProcesses(h *Held) *string { return &h.Processes }
func heldCPUs(h *Held) *string      { return &h.CPUs }

// files returns the files for the limits under a version of control groups. Init is one of the processes.
func (l *Limits) files(version int) (out []limitFile) {
	add := func(controller, name1, name2, value1, value2 string, held func(*Held) *string) {
		name, value := name2, value2
		if version == 1 {
			name, value = name1, value1
		}
		if name != "" {
			out = append(out, limitFile{controller, name, value, held})
		}
	}
	if l.Memory > 0 {
		n := strconv.FormatInt(l.Memory, 10)
		add("memory", "memory.limit_in_bytes", "memory.max", n, n, heldMemory)
	}
	if l.Processes > 0 {
		n := strconv.Itoa(l.Processes + initThreads)
		add("pids", "pids.max", "pids.max", n, n, heldProcesses)
	}
	if l.CPUs > 0 {
		quota := max(int64(l.CPUs*period), 1000)
		add("cpu", "cpu.cfs_quota_us", "cpu.max", fmt.Sprint(quota), fmt.Sprintf("%d %d", quota, period), heldCPUs)
	}
	return out
}

// initThreads is how many threads the launcher has at most, with those that it starts ahead: they count as processes.
const initThreads = 16

// group puts the sandbox into control groups that hold its limits, where this process may make them, and returns which it holds.
// The launcher still waits for the Spec, so nothing inside runs outside of the groups.
func (p *Process) group(l *Limits) (held Held) {
	if *l == (Limits{}) {
		return held
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return held
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return held
	}
	name := fmt.Sprintf("nuka-%d", p.init.Pid)
	points := groupMounts(string(mounts))
	for line := range strings.Lines(string(own)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		version := 1
		if f[1] == "" {
			version = 2
		}
		point, ok := points[f[1]]
		if !ok {
			continue
		}
		files := slices.DeleteFunc(l.files(version), func(file limitFile) bool {
			return version == 1 && !slices.Contains(strings.Split(f[1], ","), file.controller)
		})
		dir := groupParent(point, f[2], version, files)
		if dir == "" {
			continue
		}
		for _, file := range p.join(filepath.Join(dir, name), files) {
			*file.held(&held) = fmt.Sprintf("cgroup v%d", version)
		}
	}
	return held
}

// groupMounts returns where the hierarchies of control groups are mounted, by their list of controllers; that of version 2 is "".
func groupMounts(mountinfo string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		f, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 5 || len(kind) < 3 || f[3] != "/" {
			continue
		}
		switch kind[0] {
		case "cgroup2":
			out[""] = f[4]
		case "cgroup":
			var controllers []string
			for _, o := range strings.Split(kind[2], ",") {
				if o != "rw" && o != "ro" {
					controllers = append(controllers, o)
				}
			}
			out[strings.Join(controllers, ",")] = f[4]
		}
	}
	return out
}

// groupParent returns the nearest group at or above this process's that is delegated to it: where it may make groups which have all the controllers.
func groupParent(point, own string, version int, files []limitFile) string {
	if len(files) == 0 {
		return ""
	}
	for g := filepath.Clean("/" + own); ; g = filepath.Dir(g) {
		dir := filepath.Join(point, g)
		if unix.Access(dir, unix.W_OK) == nil && unix.Access(filepath.Join(dir, "cgroup.procs"), unix.W_OK) == nil {
			if version == 1 {
				return dir
			}
			b, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
			have := strings.Fields(string(b))
			if err == nil && !slices.ContainsFunc(files, func(f limitFile) bool { return !slices.Contains(have, f.controller) }) {
				return dir
			}
		}
		if g == "/" {
			return ""
		}
	}
}

// join makes a group with the limits and puts init into it. It returns the limits that hold.
func (p *Process) join(dir string, files []limitFile) (held []limitFile) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil
	}
	p.groups = append(p.groups, dir)
	for _, f := range files {
		if os.WriteFile(filepath.Join(dir, f.name), []byte(f.value), 0) == nil {
			held = append(held, f)
		}
	}
	if os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(p.init.Pid)), 0) != nil {
		return nil
	}
	if slices.ContainsFunc(files, func(f limitFile) bool { return f.name == "memory.max" }) {
		// Memory that is swapped out does not count otherwise. The file does not exist where the kernel has no swap.
		_ = os.WriteFile(filepath.Join(dir, "memory.swap.max"), []byte("0"), 0)
	}
	return held
}

// removeGroups removes the groups of a sandbox that has ended.
func (p *Process) removeGroups() {
	for _, dir := range p.groups {
		for range 100 { // the kernel takes a moment to empty a group
			if err := unix.Rmdir(dir); !errors.Is(err, unix.EBUSY) {
				break
			}
			_ = unix.Nanosleep(&unix.Timespec{Nsec: 1e6}, nil)
		}
	}
}

// limitsFinding tells where limits of sandboxes would be held.
func limitsFinding() Finding {
	f := Finding{What: "limits of sandboxes", OK: true, Detail: "held by control groups"}
	own, err1 := os.ReadFile("/proc/self/cgroup")
	mounts, err2 := os.ReadFile("/proc/self/mountinfo")
	if err := errors.Join(err1, err2); err != nil {
		f.OK, f.Detail = false, err.Error()
		return f
	}
	l := &Limits{Memory: 1, Processes: 1, CPUs: 1}
	points := groupMounts(string(mounts))
	have := map[string]bool{}
	for line := range strings.Lines(string(own)) {
		version, parts := 1, strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 || points[parts[1]] == "" {
			continue
		}
		if parts[1] == "" {
			version = 2
		}
		for _, file := range l.files(version) {
			if version == 1 && !slices.Contains(strings.Split(parts[1], ","), file.controller) {
				continue
			}
			if groupParent(points[parts[1]], parts[2], version, []limitFile{file}) != "" {
				have[file.controller] = true
			}
		}
	}
	if len(have) < 3 {
		f.OK = false
		f.Detail = fmt.Sprintf("control groups hold %d of 3 (memory, processes, processors); limits of single processes stand in", len(have))
		f.Hint = "run nuka in a session of systemd, which delegates control groups to users, or delegate one"
	}
	return f
}
