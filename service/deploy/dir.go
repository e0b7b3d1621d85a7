package deploy

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zeebo/blake3"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/internal/ownfile"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
)

// own is the folder of this package's files in the folder of services. No service has such a name.
const own = ".nuka"

// A Dir is the folder of the services of a user or of the machine: their state, and the generations. Its methods may be called from several goroutines and
// processes.
type Dir struct{ base string }

// Open returns the folder of services at a whole path. It need not exist.
func Open(base string) *Dir { return &Dir{base} }

// Base returns the path of the folder.
func (d *Dir) Base() string { return d.base }

func (d *Dir) at(names ...string) string {
	return filepath.Join(append([]string{d.base, own}, names...)...)
}

// RootName returns the name of the root that keeps a generation in the store.
func (d *Dir) RootName(number int) string { return d.RootPrefix() + strconv.Itoa(number) }

// RootPrefix returns what the names of the roots of all generations begin with. Each folder of services has roots of its own.
func (d *Dir) RootPrefix() string {
	sum := blake3.Sum256([]byte(d.base))
	return protocol.RootServices + hex.EncodeToString(sum[:4]) + "/"
}

// make makes the folders.
func (d *Dir) make() error {
	for _, name := range []string{"generations", "run", "units", "kept"} {
		if err := os.MkdirAll(d.at(name), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// A Lock is the right to change the services of a folder, or to supervise them. Close gives it back.
type Lock struct{ f *os.File }

// Close gives the lock back.
func (l *Lock) Close() error { return l.f.Close() }

// Lock takes the right to change the services. If another process has it, the error has the code Busy and names the process.
func (d *Dir) Lock(ctx context.Context) (*Lock, error) {
	if err := d.make(); err != nil {
		return nil, err
	}
	f, err := hold(ctx, d.at("lock"))
	if errors.Is(err, ownfile.ErrBusy) {
		return nil, protocol.Errorf(protocol.Busy, "another command%s changes these services", holder(d.at("lock"))).WithHint("wait until it has ended")
	}
	if err != nil {
		return nil, err
	}
	d.clean()
	return &Lock{f}, nil
}

// clean removes files that processes were writing when they were killed. Launchers and the supervisor may be writing now, so it leaves those of the last minute.
func (d *Dir) clean() {
	for _, folder := range []string{d.at("."), d.at("generations"), d.at("run"), d.at("kept")} {
		list, _ := fs.Glob(os.DirFS(folder), ".new-*") // the folder's own name may have characters that are special in patterns
		for _, name := range list {
			at := filepath.Join(folder, name)
			if info, err := os.Lstat(at); err == nil && time.Since(info.ModTime()) > time.Minute {
				_ = os.Remove(at) // the next change tries again
			}
		}
	}
}

// hold locks a file, and writes the number of this process beside it, for people.
func hold(ctx context.Context, path string) (*os.File, error) {
	f, err := ownfile.Lock(ctx, path, 0, nil)
	if err != nil {
		return nil, err
	}
	if err := atomicfile.Replace(path+".pid", []byte(strconv.Itoa(os.Getpid())+"\n")); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// holder returns " (process N)" for the process that holds a lock.
func holder(path string) string {
	text, err := os.ReadFile(path + ".pid")
	if n, e := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && e == nil {
		return fmt.Sprintf(" (process %d)", n)
	}
	return ""
}

// Numbers returns the numbers of all generations, in ascending order.
func (d *Dir) Numbers() ([]int, error) {
	list, err := os.ReadDir(d.at("generations"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []int
	for _, e := range list {
		name, ok := strings.CutSuffix(e.Name(), ".nuon")
		if n, err := strconv.Atoi(name); ok && err == nil && n > 0 && strconv.Itoa(n) == name {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

// Next returns the number of the next generation.
func (d *Dir) Next() (int, error) {
	all, err := d.Numbers()
	if err != nil || len(all) == 0 {
		return 1, err
	}
	return all[len(all)-1] + 1, nil
}

func (d *Dir) record(number int) string {
	return d.at("generations", strconv.Itoa(number)+".nuon")
}

// maxRecord bounds the bytes of the record of a generation: a set, and the units of its services.
const maxRecord = 32 << 20

// Generation reads a generation. If it does not exist, the error has the code NotFound; if it was changed, Damaged.
func (d *Dir) Generation(number int) (*Generation, error) {
	text, err := readSmall(d.record(number), maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, protocol.Errorf(protocol.NotFound, "there is no generation %d of these services", number).WithHint("all generations: nuka services history")
	}
	var g *Generation
	if err == nil {
		g, err = decodeGeneration(number, text)
	}
	if err != nil {
		return nil, protocol.Errorf(protocol.Damaged, "generation %d of the services: %w", number, err).WithHint("its record: %s", d.record(number))
	}
	return g, nil
}

func readSmall(path string, most int64) ([]byte, error) {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no file")
	case info.Size() > most:
		return nil, fmt.Errorf("it has more than %d bytes", most)
	}
	return os.ReadFile(path)
}

// Has reports whether the folder has the record of a generation.
func (d *Dir) Has(number int) bool { return exists(d.record(number)) }

// Put writes the record of a generation.
func (d *Dir) Put(g *Generation) error {
	text, err := g.encode()
	if err != nil {
		return err
	}
	return atomicfile.Write(d.record(g.Number), text)
}

// Drop removes the record of a generation.
func (d *Dir) Drop(number int) error { return gone(atomicfile.Remove(d.record(number))) }

// gone returns an error unless it says that there is no such file.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Number returns the number of the current generation, and 0 if there is none.
func (d *Dir) Number() (int, error) {
	text, err := readSmall(d.at("current"), 100)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	n, e := strconv.Atoi(strings.TrimSpace(string(text)))
	if err == nil && e != nil {
		err = e
	}
	if err != nil {
		return 0, protocol.Errorf(protocol.Damaged, "the number of the current generation: %w", err).WithHint("it is in %s", d.at("current"))
	}
	return n, nil
}

// Current returns the current generation, and nil if there is none.
func (d *Dir) Current() (*Generation, error) {
	n, err := d.Number()
	if n == 0 || err != nil {
		return nil, err
	}
	return d.Generation(n)
}

func (d *Dir) setCurrent(number int) error {
	if number == 0 {
		return gone(atomicfile.Remove(d.at("current")))
	}
	return atomicfile.Write(d.at("current"), []byte(strconv.Itoa(number)+"\n"))
}

// Stopped returns the names of the services that the user has stopped, sorted. They stay stopped in later generations, until the user starts them.
func (d *Dir) Stopped() ([]string, error) {
	text, err := readSmall(d.at("stopped"), 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return strings.Fields(string(text)), err
}

// SetStopped writes that list.
func (d *Dir) SetStopped(names []string) error {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	return atomicfile.Write(d.at("stopped"), []byte(strings.Join(names, "\n")+"\n"))
}

// A journal says which change was begun.
type journal struct {
	From, To int  // 0 is no generation
	Back     bool // it is being taken back
}

func (d *Dir) journal() (*journal, error) {
	text, err := readSmall(d.at("journal"), 4096)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var v any
	if err == nil {
		v, err = nuon.Parse(text)
	}
	rec, _ := v.(nuon.Record)
	from, ok1 := rec["from"].(int64)
	to, ok2 := rec["to"].(int64)
	back, ok3 := rec["back"].(bool)
	if err == nil && (!ok1 || !ok2 || !ok3) {
		err = errors.New("want from, to and back")
	}
	if err != nil {
		return nil, protocol.Errorf(protocol.Damaged, "the journal of the last change of services: %w", err).WithHint("it is %s", d.at("journal"))
	}
	return &journal{int(from), int(to), back}, nil
}

func (d *Dir) setJournal(j *journal) error {
	if j == nil {
		return gone(atomicfile.Remove(d.at("journal")))
	}
	text, err := nuon.Encode(nuon.Record{"from": int64(j.From), "to": int64(j.To), "back": j.Back})
	if err != nil {
		return err
	}
	return atomicfile.Write(d.at("journal"), append(text, '\n'))
}

// Interrupted reports whether a change was begun and not finished. While a command changes the services, it is true as well.
func (d *Dir) Interrupted() bool {
	_, err := os.Lstat(d.at("journal"))
	return err == nil
}

// now is the time of a record: whole seconds.
func now() time.Time { return time.Now().Truncate(time.Second).UTC() }

// Old returns the numbers of all generations but the newest n, the current one, those that one of them or a launcher reads.
func (d *Dir) Old(n int) ([]int, error) {
	numbers, err := d.Numbers()
	if err != nil {
		return nil, err
	}
	current, err := d.Number()
	if err != nil {
		return nil, err // without knowing it, it might be removed
	}
	needed := map[int]bool{}
	for i, number := range numbers {
		if i < len(numbers)-n && number != current {
			continue
		}
		g, err := d.Generation(number)
		if err != nil {
			return nil, err
		}
		for _, used := range g.Uses() {
			needed[used] = true
		}
	}
	list, err := os.ReadDir(d.at("run"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range list {
		if r, err := d.Running(strings.TrimSuffix(e.Name(), ".lock")); err != nil {
			return nil, err
		} else if r.Alive {
			needed[r.Generation] = true
		}
	}
	return slices.DeleteFunc(numbers, func(number int) bool { return needed[number] }), nil
}
