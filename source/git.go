package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/archive"
	"github.com/MordragT/nuka/source/git"
	"github.com/MordragT/nuka/source/kind"
)

// Git is the kind of a commit of a git repository. Its field rev is a full commit hash, a tag or a branch.
const Git OriginKind = "git"

func gitKind() Kind {
	const example = "fetch git https://example.org/a.git --rev v1 "
	return Kind{
		Kind: kind.Kind{
			Name: string(Git), About: "A commit of a git repository.", More: kind.Downloaded,
			Args: []kind.Param{{Name: "url", Type: kind.String, About: "The repository."}},
			Flags: []kind.Param{
				{Name: "rev", Type: kind.String, About: "The commit or tag.", Needed: &kind.Need{What: "revision", Hint: "name the commit: --rev v1.2 or a commit's hash"}},
				kind.Hash,
				{Name: "submodules", Type: kind.Switch, About: "Take its submodules too, each at the commit that the tree names."},
			},
			Examples: []kind.Example{
				{Text: example + "--hash b3-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", About: "A tag."},
				{Text: example + "--submodules --hash b3-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", About: "With its submodules."},
			},
		},
		Doc: "nuka fetches the commit without its history. `--rev` is a commit's whole id, even if no branch contains the commit;\n" +
			"a tag; a branch; or a ref such as `refs/pull/1/head`. The hash fixes the content. The address must be https; for a repository\n" +
			"on this machine, use `fetch path`. Files keep the repository's bytes: nuka converts no line ends, large files (LFS)\n" +
			"stay pointers, and links keep their text.\n\n" +
			"```nu eval\nfetch git https://example.org/a.git --rev v1.0 --hash b3-c4etlyb3w2i3ijakqymttxwsc5c6vyy7hsbwowgugkkbijrgtzbq\n```\n\n" +
			"nuka refuses a repository with submodules unless `--submodules` asks for them: each at the commit that the tree names, with its own submodules.\n" +
			"A URL in `.gitmodules` may be relative to the repository's. It must lead to an https address, and to no address of a\n" +
			"private network unless the repository has one. If a submodule has another kind of address, such as `git@host:…`, fetch it as a source of its own.\n\n" +
			"```nu eval\nfetch git https://example.org/a.git --rev v1.0 --submodules --hash b3-mxtqyrmjd432t54plwhkwuli7bxvzdwjg3isa5d6dnlc5mmmgghq\n```",
		Finds:       "at its address, by git's smart HTTP protocol",
		Credentials: "as for `url`",
		Check:       checkGit,
		Show:        func(o Origin) string { return shownText(o.URL) + " at " + o.Flags["rev"] },
		Netrc:       true,
		Fetch: func(f *Fetcher, ctx context.Context, o Origin, r *Request) (bool, error) {
			return true, f.fetchGit(ctx, o, r)
		},
	}
}

func checkGit(o Origin) error {
	switch u, err := url.Parse(o.URL); {
	case err != nil || u.Scheme == "ssh" || u.Scheme == "git":
		return fmt.Errorf("origin git %q: git is spoken over https and http only: write the repository's https address", o.URL)
	case u.Scheme == "file" || u.Scheme == "":
		return fmt.Errorf("origin git %q: for a folder of this machine write fetch path", o.URL)
	}
	if err := checkAddress(o, o.URL); err != nil {
		return err
	}
	if o.Flags["rev"] == "" {
		return fmt.Errorf("origin git %s: rev is missing", o.URL)
	}
	return nil
}

// maxRefs bounds the bytes of a repository's list of refs. With protocol version 2 a server sends only the requested refs.
const maxRefs = 128 << 20

// fetchGit writes the tree of one revision to r.Dir/out.
// It writes the repository's bytes unchanged: attributes and filters change no line ends, and Git LFS pointers stay pointers.
func (f *Fetcher) fetchGit(ctx context.Context, o Origin, r *Request) error {
	if !r.Hash.IsZero() && r.Hash.Algorithm != pir.B3 {
		return protocol.Errorf(protocol.Invalid, "fetch git needs a b3- hash, and %s is not one", r.Hash).
			WithHint("leave --hash out once: the error then prints the right one")
	}
	if o.Flags["submodules"] != "" && r.Strip != 0 {
		return protocol.Errorf(protocol.Invalid, "fetch git: submodules have their paths, and folders cannot be stripped")
	}
	root, err := os.OpenRoot(r.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	c := &checkout{f: f, r: r, regs: f.registries(r), root: root, submodules: o.Flags["submodules"] != "", left: f.o.Limits}
	return c.repository(ctx, o, Out, 0)
}

// tree writes the tree of a revision to the folder at in r.Dir, which it creates.
func (c *checkout) tree(ctx context.Context, o Origin, at string, r *Request) (*archive.Result, error) {
	pack, err := os.OpenFile(filepath.Join(r.Dir, "pack"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer pack.Close()
	defer os.Remove(pack.Name())
	remote := git.Remote{
		URL: o.URL, MaxRefs: maxRefs, MaxPack: c.left.Download,
		Do: func(req *http.Request) (*http.Response, error) {
			p, err := c.regs.withLogin(place{url: req.URL.String()}) // after a redirect, those of the other host
			if err != nil {
				return nil, err
			}
			return c.f.sendWatched(req, p.header)
		},
	}
	commit := ""
	var counted *countedWriter
	err = c.f.retry(ctx, o.URL, func() error {
		if err := pack.Truncate(0); err != nil {
			return err
		}
		if _, err := pack.Seek(0, io.SeekStart); err != nil {
			return err
		}
		var err error
		counted = &countedWriter{w: pack, n: c.done, progress: r.progress}
		commit, err = remote.Fetch(ctx, o.Flags["rev"], counted)
		return c.f.gitError(o, err)
	})
	if err != nil {
		return nil, err
	}
	c.left.Download -= counted.n - c.done
	c.done = counted.n
	u, err := c.f.unpackWithin(ctx, &fetched{path: pack.Name(), commit: commit}, filepath.Join(r.Dir, at), r, c.left.Limits)
	if err != nil || len(u.Submodules) == 0 && at == Out {
		return u, err
	}
	c.left.Limits, err = c.left.Without(u)
	return u, err
}

// gitError marks the errors of package git that a retry may fix.
func (f *Fetcher) gitError(o Origin, err error) error {
	var coded *protocol.Error
	var said *git.ServerError
	switch {
	case err == nil || errors.As(err, &coded) || errors.Is(err, errRefused):
		return err
	case errors.Is(err, git.ErrNotFound):
		return protocol.Errorf(protocol.NotFound, "%v", err).WithHint("give a tag, a branch, a ref such as refs/pull/1/head, or a whole commit id")
	case errors.Is(err, git.ErrTooLong):
		return protocol.Errorf(protocol.Exhausted, "get %s: more than the limit of %d bytes", o.URL, f.o.Limits.Download)
	case errors.Is(err, git.ErrWrite):
		return protocol.Errorf(protocol.Exhausted, "%v", err)
	case errors.Is(err, git.ErrProtocol):
		return protocol.Errorf(protocol.Invalid, "get %s: %v", o.URL, err).WithHint("check that the address is that of a repository")
	case errors.As(err, &said):
		return fmt.Errorf("get %s: %w: %w", o.URL, errRefused, err)
	}
	return protocol.Errorf(protocol.Unavailable, "get %s: %v", o.URL, err)
}

// A countedWriter reports the number of bytes written, added to the initial n.
type countedWriter struct {
	w        io.Writer
	n        int64
	progress func(done, total int64)
}

func (c *countedWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	c.progress(c.n, 0)
	return n, err
}
