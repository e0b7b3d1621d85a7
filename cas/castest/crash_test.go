//go:build unix

package castest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/pir/cid"
)

func numberedTree(i int) fs.FS { return castest.NumberedTree(i, 99, 0o755) }

// crashEnv makes the test binary the child of TestKill: store folder, first number, step to die at.
const crashEnv = "CASTEST_CRASH"

func TestMain(m *testing.M) {
	if spec := os.Getenv(crashEnv); spec != "" {
		if err := crashChild(spec); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
	}
	os.Exit(m.Run())
}

// crashChild imports and binds numbered trees forever, and prints each number after binding it. Every third one gets a root. After every
// fifth it collects, beside the next import.
func crashChild(spec string) error {
	parts := strings.Split(spec, "\n")
	first, err := strconv.Atoi(parts[1])
	if err != nil {
		return err
	}
	dieAt, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil {
		return err
	}
	var steps atomic.Int64
	s, err := cas.Open(parts[0], &cas.Options{Failpoint: func(disk.Step, string) error {
		if steps.Add(1) == dieAt {
			syscall.Kill(os.Getpid(), syscall.SIGKILL) //nolint:errcheck // nothing runs after it
			select {}
		}
		return nil
	}})
	if err != nil {
		return err
	}
	fmt.Println("open")
	for i := first; ; i++ {
		var collecting sync.WaitGroup
		var failed error
		if i%5 == 0 {
			collecting.Go(func() { _, failed = s.Collect(context.Background(), nil) })
		}
		if err := importNumber(s, i); err != nil {
			return err
		}
		collecting.Wait()
		if failed != nil {
			return failed
		}
		fmt.Println(i)
	}
}

func importNumber(s *cas.Store, i int) error {
	ctx := context.Background()
	l := s.Lease("a numbered tree")
	defer l.Release()
	c, err := castest.TakeNumber(s, i, numberedTree(i), uint64(time.Now().UnixNano()), l)
	if err != nil {
		return err
	}
	p, b := castest.PID(i)
	l.KeepPIDs(p)
	if err := s.PutPIR(ctx, p, b, []byte("origin")); err != nil {
		return err
	}
	if err := s.Bind(ctx, castest.Attest(1, p, c)); err != nil {
		return err
	}
	return rootNumber(s, i, c)
}

// rootNumber puts a root for every third number.
func rootNumber(s *cas.Store, i int, c cid.CID) error {
	if i%3 != 0 {
		return nil
	}
	p, _ := castest.PID(i)
	return s.PutRoot(context.Background(), cas.Root{Name: fmt.Sprint("root/", i), CID: c, PID: p, Created: time.Unix(int64(i), 0)})
}

// A process that imports, binds and collects is killed at a random step or moment, again and again, over one store.
// After each kill every package that is bound is whole, those with roots are bound, nothing else is left, and the store finds no fault in itself.
func TestKill(t *testing.T) {
	// With few kills, none may come at the moments that the test is about: then further kills follow, up to the number of an ordinary run.
	const ordinary = 20
	kills, most := ordinary, ordinary
	if testing.Short() {
		kills = 4
	}
	if long() {
		kills, most = 250, 250
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "store")
	r := rand.New(rand.NewPCG(7, 7))
	next, bound := 0, 0
	cut, received, collected, sweeping := 0, 0, 0, 0
	hit := func() bool { return cut > 0 && received > 0 && sweeping > 0 && collected > 0 && bound >= kills/4 }
	for kill := 0; kill < kills || kill < most && !hit(); kill++ {
		dieAt, after := int64(1+r.IntN(300)), time.Duration(0)
		if kill%2 == 1 {
			dieAt, after = 0, time.Duration(r.IntN(60_000))*time.Microsecond
		}
		if kill%7 == 6 { // also during a rebuild of the index
			lose(t, filepath.Join(dir, "index"))
		}
		acked := runChild(t, exe, fmt.Sprintf("%s\n%d\n%d", dir, next, dieAt), after)
		if list, err := os.ReadDir(filepath.Join(dir, "tmp", "imports")); err == nil && len(list) > 0 {
			cut++
		}
		if _, err := os.Stat(filepath.Join(dir, "tmp", "imports", "collection")); err == nil {
			sweeping++
		}
		s, err := cas.Open(dir, nil)
		if err != nil {
			t.Fatalf("kill %d: %v", kill, err)
		}
		castest.Check(t, s)
		for i := 0; i < next+1000; i++ {
			p, pirBytes := castest.PID(i)
			c, err := s.CID(p)
			if errors.Is(err, cas.ErrNotFound) {
				if i%3 == 0 && (i < next || i <= acked) {
					t.Errorf("kill %d: package %d was bound and is not", kill, i)
				}
				if i > max(next, acked)+5 {
					break
				}
				collected++
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			bound = max(bound, i)
			if err := rootNumber(s, i, c); err != nil { // the kill may have come before it
				t.Fatal(err)
			}
			if got, _, err := s.PIR(p); err != nil || string(got) != string(pirBytes) {
				t.Errorf("kill %d: pir of package %d: %v", kill, i, err)
			}
			if i < next-20 && kill%10 != 0 { // check the older ones only sometimes
				continue
			}
			want, err := cid.HashTree(context.Background(), numberedTree(i), nil)
			if err != nil || c != want {
				t.Fatalf("kill %d: package %d: got %s, want %s (%v)", kill, i, c, want, err)
			}
			castest.CheckTree(t, castest.OnDisk{Store: s}, c, numberedTree(i))
		}
		next = bound + 1
		states, err := filepath.Glob(filepath.Join(dir, "tmp", "receive", "*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(states) > 0 {
			received++
		}
		if len(states) > 0 && kill%3 == 0 { // declare it too old, so that it is removed
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			for _, state := range states {
				old := time.Now().Add(-8 * 24 * time.Hour)
				if err := os.Chtimes(state, old, old); err != nil {
					t.Fatal(err)
				}
			}
			if s, err = cas.Open(dir, nil); err != nil {
				t.Fatal(err)
			}
			castest.Check(t, s)
			states = nil
		}
		if len(states) == 0 {
			checkNothingLeft(t, s, dir)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			t.Fatalf("after kill %d (step %d, after %s, acked %d)", kill, dieAt, after, acked)
		}
	}
	t.Logf("%d kills or more, %d in the middle of an import or a collection, %d of them of a collection, %d while receiving, %d packages",
		kills, cut, sweeping, received, bound+1)
	if !hit() {
		t.Errorf("the kills hit nothing: %d in an import, %d in a collection, %d packages bound", cut, sweeping, bound)
	}
}

// runChild returns the last number that the child printed.
func runChild(t *testing.T, exe, spec string, after time.Duration) int {
	t.Helper()
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), crashEnv+"="+spec)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acked := -1
	lines := bufio.NewScanner(out)
	if after > 0 {
		timer := time.AfterFunc(after, func() { cmd.Process.Kill() }) //nolint:errcheck // may have ended
		defer timer.Stop()
	}
	for lines.Scan() {
		if n, err := strconv.Atoi(lines.Text()); err == nil {
			acked = n
		}
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("child: %v\n%s", err, stderr.String())
	}
	return acked
}

// checkNothingLeft looks for files that an interrupted import left.
func checkNothingLeft(t *testing.T, s *cas.Store, dir string) {
	t.Helper()
	st, err := s.Stats(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	blobs := 0
	for name, n := range map[string]*int{"blobs": &blobs, "tmp": new(int), "quarantine": new(int)} {
		err := filepath.WalkDir(filepath.Join(dir, name), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				*n++
				if name == "tmp" {
					t.Errorf("%s is left over", path)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if blobs != st.Files {
		t.Errorf("%d blobs on disk, %d in the index", blobs, st.Files)
	}
}
