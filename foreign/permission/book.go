package permission

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/internal/lazyregexp"
	"github.com/MordragT/nuka/internal/ownfile"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
)

// An Entry is what a user decided about one application.
type Entry struct {
	// Seen holds the permissions of packages that the user has agreed to.
	Seen []Permission
	// Allow and Deny are the user's own: Allow is added to what the package asks for, Deny is taken away from it.
	Allow, Deny []Permission
}

// IsZero reports whether nothing was decided.
func (e Entry) IsZero() bool { return len(e.Seen)+len(e.Allow)+len(e.Deny) == 0 }

// Effective returns what an application may do: what its package asks for, without what the user denies, and what the user allows.
func (e Entry) Effective(asked []Permission) []Permission {
	list := slices.DeleteFunc(slices.Clone(asked), func(p Permission) bool {
		return slices.ContainsFunc(e.Deny, func(d Permission) bool { return d.covers(p) })
	})
	return Sort(append(list, e.Allow...))
}

// New returns the permissions that a package asks for and its user has not agreed to, nor denied.
func (e Entry) New(asked []Permission) []Permission {
	return slices.DeleteFunc(slices.Clone(asked), func(p Permission) bool {
		return slices.Contains(e.Seen, p) || slices.Contains(e.Allow, p) || slices.ContainsFunc(e.Deny, func(d Permission) bool { return d.covers(p) })
	})
}

// covers reports whether denying d denies p: the same thing with any access, and all of the network.
func (p Permission) covers(q Permission) bool {
	return p.Kind == q.Kind && (p.Name == q.Name || p.Kind == Network && p.Name == "")
}

// A Book holds the decisions of a user, one file for each application, in a folder. Several processes may use it at once.
type Book struct{ dir string }

// OpenBook returns the book in a folder, which need not exist.
func OpenBook(dir string) *Book { return &Book{dir} }

var appPattern = lazyregexp.New(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$`)

// CheckApp returns an error unless name can be the name of an application.
func CheckApp(name string) error {
	if !appPattern().MatchString(name) || strings.HasSuffix(name, bookSuffix) {
		return protocol.Errorf(protocol.Invalid, "application %.100q: want letters, digits and . _ + -, beginning with a letter or digit, 100 at most", name)
	}
	return nil
}

const bookSuffix = ".nuon"

// File returns the file of an application, which need not exist.
func (b *Book) File(app string) string { return b.path(app) }

func (b *Book) path(app string) string { return filepath.Join(b.dir, app+bookSuffix) }

// Get returns what the user decided about an application; the zero Entry if nothing.
func (b *Book) Get(app string) (Entry, error) {
	if err := CheckApp(app); err != nil {
		return Entry{}, err
	}
	text, err := os.ReadFile(b.path(app))
	if errors.Is(err, fs.ErrNotExist) {
		return Entry{}, nil
	}
	if err != nil {
		return Entry{}, err
	}
	e, err := decodeEntry(text)
	if err != nil {
		return Entry{}, protocol.Errorf(protocol.Damaged, "%s: %w", b.path(app), err).WithHint("decide again: nuka permissions reset %s", app)
	}
	return e, nil
}

func decodeEntry(text []byte) (e Entry, err error) {
	v, err := nuon.Parse(text)
	if err != nil {
		return e, err
	}
	rec, ok := v.(nuon.Record)
	if !ok || rec["permissions"] != int64(1) {
		return e, fmt.Errorf("want a record with permissions: 1")
	}
	for field, to := range map[string]*[]Permission{"seen": &e.Seen, "allow": &e.Allow, "deny": &e.Deny} {
		list, ok := rec[field].(nuon.List)
		if !ok && rec[field] != nil {
			return e, fmt.Errorf("%s: want a list", field)
		}
		for _, v := range list {
			text, _ := v.(string)
			p, err := Parse(text)
			if err != nil {
				return e, fmt.Errorf("%s: %w", field, err)
			}
			*to = append(*to, p)
		}
		delete(rec, field)
	}
	if delete(rec, "permissions"); len(rec) > 0 {
		return e, fmt.Errorf("unknown fields")
	}
	return e, nil
}

// Change changes the entry of an application. It removes an entry that is zero afterwards. The change is durable.
func (b *Book) Change(ctx context.Context, app string, change func(*Entry) error) error {
	if err := CheckApp(app); err != nil {
		return err
	}
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return err
	}
	lock, err := ownfile.Lock(ctx, filepath.Join(b.dir, "lock"), 10*time.Second, nil)
	if err != nil {
		return err
	}
	defer lock.Close()
	e, err := b.Get(app)
	if err != nil {
		return err
	}
	if err := change(&e); err != nil {
		return err
	}
	if e.IsZero() {
		return b.remove(app)
	}
	rec := nuon.Record{"permissions": int64(1)}
	for field, list := range map[string][]Permission{"seen": e.Seen, "allow": e.Allow, "deny": e.Deny} {
		if len(list) == 0 {
			continue
		}
		texts := nuon.List{}
		for _, p := range Sort(list) {
			texts = append(texts, p.String())
		}
		rec[field] = texts
	}
	text, err := nuon.Encode(rec)
	if err != nil {
		return err
	}
	return atomicfile.Write(b.path(app), text)
}

// Reset forgets what was decided about an application, also where its file cannot be read.
func (b *Book) Reset(app string) error {
	if err := CheckApp(app); err != nil {
		return err
	}
	return b.remove(app)
}

func (b *Book) remove(app string) error {
	err := atomicfile.Remove(b.path(app))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Apps returns the applications about which something was decided, sorted.
func (b *Book) Apps() ([]string, error) {
	list, err := os.ReadDir(b.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var apps []string
	for _, e := range list {
		if app, ok := strings.CutSuffix(e.Name(), bookSuffix); ok && CheckApp(app) == nil {
			apps = append(apps, app)
		}
	}
	return apps, err
}
