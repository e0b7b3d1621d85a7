package source

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// TestGit fetches two revisions of a repository on disk, by tag and by commit.
func TestGit(t *testing.T) {
	dir := t.TempDir()
	repo, err := git.PlainInit(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	work, err := repo.Worktree()
	if err != nil {
		t.Fatal(err)
	}
	commit := func(content string) string {
		if err := os.WriteFile(filepath.Join(dir, "a"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := work.Add("a"); err != nil {
			t.Fatal(err)
		}
		who := &object.Signature{Name: "n", Email: "e", When: time.Unix(1, 0)}
		hash, err := work.Commit(content, &git.CommitOptions{Author: who})
		if err != nil {
			t.Fatal(err)
		}
		return hash.String()
	}
	first := commit("one")
	head, err := repo.Head()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := repo.CreateTag("v1", head.Hash(), nil); err != nil {
		t.Fatal(err)
	}
	commit("two")
	branch, err := repo.Head()
	if err != nil {
		t.Fatal(err)
	}
	trees := map[string]pir.Hash{}
	for rev, want := range map[string]string{first: "one", "v1": "one", branch.Name().Short(): "two"} {
		out := t.TempDir()
		hash, err := fetcher(Options{}).Fetch(t.Context(), &Request{
			Origins: []Origin{{Kind: Git, URL: "file://" + dir, Rev: rev}}, Dir: out,
		})
		if err != nil {
			t.Errorf("%s: %v", rev, err)
			continue
		}
		got, err := os.ReadFile(filepath.Join(out, Out, "a"))
		if err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v; want %q", rev, got, err, want)
		}
		if _, err := os.Stat(filepath.Join(out, Out, ".git")); err == nil {
			t.Errorf("%s: the history stayed in the tree", rev)
		}
		trees[want] = hash
	}
	_, err = fetcher(Options{}).Fetch(t.Context(), &Request{
		Origins: []Origin{{Kind: Git, URL: "file://" + dir, Rev: "v1"}}, Hash: trees["two"], Dir: t.TempDir(),
	})
	if protocol.CodeOf(err) != protocol.Mismatch {
		t.Errorf("got %v, want a mismatch", err)
	}
	_, err = fetcher(Options{}).Fetch(t.Context(), &Request{
		Origins: []Origin{{Kind: Git, URL: "file://" + dir, Rev: "nope"}}, Dir: t.TempDir(),
	})
	if protocol.CodeOf(err) != protocol.NotFound {
		t.Errorf("got %v, want not-found", err)
	}
}
