package source

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"

	"github.com/MordragT/nuka/protocol"
)

// cloneGit writes the tree of one revision to out, without the history.
func (f *Fetcher) cloneGit(ctx context.Context, o Origin, out string) error {
	repo, err := git.PlainCloneContext(ctx, out, false, &git.CloneOptions{URL: o.URL, NoCheckout: true, Tags: git.AllTags})
	if err != nil {
		return protocol.Errorf(protocol.Unavailable, "clone: %v", err).WithHint("check the address and the network")
	}
	hash, err := repo.ResolveRevision(plumbing.Revision(o.Rev))
	if err != nil {
		hash, err = repo.ResolveRevision(plumbing.Revision("refs/remotes/origin/" + o.Rev))
	}
	if err != nil {
		return protocol.Errorf(protocol.NotFound, "revision %q: %v", o.Rev, err).
			WithHint("give a tag, a branch or a full commit hash")
	}
	work, err := repo.Worktree()
	if err != nil {
		return err
	}
	if err := work.Checkout(&git.CheckoutOptions{Hash: *hash, Force: true}); err != nil {
		return fmt.Errorf("check out %s: %w", hash, err)
	}
	return os.RemoveAll(filepath.Join(out, ".git"))
}
