package profile

import (
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
	"testing"
	"time"
)

// changeForever changes the profile in the folder NUKA_TEST_PROFILES until its process is killed. It kills itself before the step NUKA_TEST_STEP
// of the first change, if that is set, and ends if the change has no such step.
func changeForever(what string) int {
	d, err := Open(os.Getenv("NUKA_TEST_PROFILES"), Default)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	last, err := strconv.Atoi(os.Getenv("NUKA_TEST_STEP"))
	counts := err == nil
	steps := 0
	d.before = func(string) error {
		if steps++; counts && steps == last {
			self, err := os.FindProcess(os.Getpid())
			if err == nil {
				err = self.Kill()
			}
			time.Sleep(time.Hour)
			return err
		}
		return nil
	}
	for round := 0; !counts || round < 1; round++ {
		if err := changeOnce(d, what, round); err != nil {
			fmt.Println(err)
			return 1
		}
	}
	return 0
}

func changeOnce(d *Dir, what string, round int) error {
	l, err := d.Lock(context.Background(), nil)
	if err != nil {
		return err
	}
	defer l.Close()
	switch {
	case what == "use":
		current, err := d.Number()
		if err != nil {
			return err
		}
		return l.Use(max(1, current-1))
	case what == "mixed" && round%3 == 1:
		_, err = l.Keep(2)
		return err
	}
	n, err := l.Next()
	if err != nil {
		return err
	}
	return l.Add(sample(n), "/mnt", start)
}

// child returns the test's own program as one that changes a profile.
func child(t *testing.T, profiles, what string, step int) *exec.Cmd {
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), "NUKA_TEST_CHANGE="+what, "NUKA_TEST_PROFILES="+profiles)
	if step > 0 {
		c.Env = append(c.Env, "NUKA_TEST_STEP="+strconv.Itoa(step))
	}
	return c
}

// leftovers counts what an interrupted change has left.
func leftovers(t *testing.T, d *Dir) (n int) {
	t.Helper()
	list, err := os.ReadDir(d.Path())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range list {
		if strings.HasPrefix(e.Name(), unfinished) {
			n++
		}
	}
	return n
}

// TestKillAtEachStep kills a process before each step of a change: the generation in use is the old or the new one, and the next change removes
// what is left.
func TestKillAtEachStep(t *testing.T) {
	for _, what := range []string{"add", "use"} {
		profiles, kills, cleaned := t.TempDir(), 0, 0
		d := open(t, profiles)
		for range 3 {
			add(t, d)
		}
		for step := 1; ; step++ {
			before, err := d.Number()
			if err != nil {
				t.Fatal(err)
			}
			out, err := child(t, profiles, what, step).CombinedOutput()
			if err == nil {
				break // the change has fewer steps
			}
			if len(out) > 0 {
				t.Fatalf("%s, step %d: %v\n%s", what, step, err, out)
			}
			kills++
			after, err := d.Number()
			if err != nil {
				t.Fatalf("%s, step %d: %v", what, step, err)
			}
			if after != before {
				t.Errorf("%s, step %d: generation %d became %d, before the last step", what, step, before, after)
			}
			cleaned += leftovers(t, d)
			check(t, d)
			l, err := d.Lock(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if n := leftovers(t, d); n != 0 {
				t.Errorf("%s, step %d: %d leftovers after the next lock", what, step, n)
			}
			l.Close()
		}
		if kills < 2 || cleaned == 0 {
			t.Errorf("%s: %d kills, %d leftovers; the test has no effect", what, kills, cleaned)
		}
	}
}

// TestKillAnywhere kills a process that changes a profile after a random time.
func TestKillAnywhere(t *testing.T) {
	seeds := 20
	if os.Getenv("NUKA_LONG") != "" {
		seeds = 300
	}
	left, changed := 0, 0
	for seed := range seeds {
		profiles := filepath.Join(t.TempDir(), "p")
		if err := os.Mkdir(profiles, 0o700); err != nil {
			t.Fatal(err)
		}
		d := open(t, profiles)
		random := rand.New(rand.NewPCG(uint64(seed), 1))
		c := child(t, profiles, "mixed", 0)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); { // it has begun
			if _, err := os.Stat(filepath.Join(d.Path(), "lock")); err == nil {
				break
			}
			time.Sleep(200 * time.Microsecond)
		}
		time.Sleep(time.Duration(random.IntN(40_000)) * time.Microsecond)
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		c.Wait() //nolint:errcheck // it was killed
		left += leftovers(t, d)
		check(t, d)
		if n, err := d.Number(); err == nil && n > 0 {
			changed++
		}
		add(t, d)
		if n := leftovers(t, d); n != 0 {
			t.Errorf("seed %d: %d leftovers after the next change", seed, n)
		}
		check(t, d)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if left == 0 || changed == 0 {
		t.Errorf("of %d kills %d left something and %d came after a change; the test has no effect", seeds, left, changed)
	}
}

// TestFailAtEachStep lets each step of a change fail, as a full disk does: the change fails, and nothing is left.
func TestFailAtEachStep(t *testing.T) {
	d := open(t, t.TempDir())
	add(t, d)
	full := errors.New("no room")
	for step := 1; ; step++ {
		count := 0
		d.before = func(string) error {
			if count++; count == step {
				return full
			}
			return nil
		}
		l, err := d.Lock(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		n, err := l.Next()
		if err != nil {
			t.Fatal(err)
		}
		err = l.Add(sample(n), "/mnt", start)
		l.Close()
		d.before = nil
		if err == nil {
			if step < 6 {
				t.Errorf("the change has %d steps only", step)
			}
			break
		}
		if !errors.Is(err, full) {
			t.Fatalf("step %d: %v", step, err)
		}
		if current, err := d.Number(); current != 1 || err != nil {
			t.Errorf("step %d: generation %d is in use, %v", step, current, err)
		}
		if n := leftovers(t, d); n != 0 {
			t.Errorf("step %d: %d leftovers", step, n)
		}
		check(t, d)
	}
}
