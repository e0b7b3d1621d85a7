package node

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/node/config"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/node/mesh"
	"github.com/MordragT/nuka/node/realize"
	"github.com/MordragT/nuka/node/sharing"
	"github.com/MordragT/nuka/node/swarms"
	"github.com/MordragT/nuka/node/trust"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

func tree(text string) fs.FS {
	return fstest.MapFS{"text": &fstest.MapFile{Data: []byte(text), Mode: 0o644}, "same": &fstest.MapFile{Data: []byte("same"), Mode: 0o644}}
}

// newHandler returns the handler of a node without sockets.
func newHandler(t *testing.T) *handler {
	t.Helper()
	dir := t.TempDir()
	home := protocol.Home{Data: dir, Cache: filepath.Join(dir, "cache"), Run: filepath.Join(dir, "run")}
	log := slog.New(slog.DiscardHandler)
	store := castest.Open(t, home.Store(), nil)
	known, err := trust.OpenHeads(filepath.Join(home.Swarm(), "heads"), log)
	if err != nil {
		t.Fatal(err)
	}
	key, err := trust.LoadKey(home.NodeKey(), known)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := trust.OpenPolicy(home.Policy())
	if err != nil {
		t.Fatal(err)
	}
	settings, err := config.Open(home.Config())
	if err != nil {
		t.Fatal(err)
	}
	grants, err := control.OpenGrants(home.Grants())
	if err != nil {
		t.Fatal(err)
	}
	members, err := mesh.Open(home.Meshes(), key, log)
	if err != nil {
		t.Fatal(err)
	}
	s := swarms.New(&swarms.Options{Dir: home.Swarm(), Store: store, Key: key, Config: settings, Policy: policy, Heads: known, Meshes: members, Log: log})
	if s.Sharing, err = sharing.Open(t.Context(), store, settings.Get, func(pir.PID) ([]pir.PID, error) { return nil, nil }); err != nil {
		t.Fatal(err)
	}
	h := &handler{
		store: store, home: home, key: protocol.KeyOf(key), private: key, policy: policy, config: settings, grants: grants,
		heads: known, sharing: s.Sharing, swarms: s, meshes: members, log: log, stop: func() {},
	}
	h.surface = newSurface(h)
	if h.realizer, err = realize.New(&realize.Options{Store: store, Key: key, Dir: t.TempDir(), Policy: policy.Get, Heads: known.Known}); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestRotate(t *testing.T) {
	h := newHandler(t)
	id, root := castest.Package(t, h.store, h.private, "mine", tree("mine"))
	castest.Package(t, h.store, castest.Key(9), "other", tree("other"))
	old := h.key
	s, err := h.keyCall(t.Context(), protocol.KeyArgs{Action: protocol.ActionRotate})
	if err != nil {
		t.Fatal(err)
	}
	if s.Key == old || !cmp.Equal(s.Before, []protocol.Key{old}) {
		t.Errorf("got %+v", s)
	}
	head := h.heads.Known()[old]
	if !head.Revoked || head.Next != s.Key {
		t.Errorf("got the last head %+v", head)
	}
	key, err := trust.LoadKey(h.home.NodeKey(), h.heads)
	if err != nil || protocol.KeyOf(key) != s.Key {
		t.Fatalf("got %v, want the new key", err)
	}
	var signers []protocol.Key
	for a, err := range h.store.Attestations(id) {
		if err != nil || a.CID != root {
			t.Fatal(a.CID, err)
		}
		signers = append(signers, a.Signer)
	}
	if len(signers) != 2 {
		t.Errorf("got the signers %v, want both keys", signers)
	}
	if _, err := h.keyCall(t.Context(), protocol.KeyArgs{Action: protocol.ActionRevoke, Key: protocol.KeyOf(castest.Key(9))}); protocol.CodeOf(err) != protocol.Invalid {
		t.Errorf("another's key: got %v", err)
	}
}

// nuka trust list shows how far the clock of a signer is ahead.
func TestTrustTellsClocks(t *testing.T) {
	h := newHandler(t)
	signer := protocol.KeyOf(castest.Key(1))
	head := &protocol.Head{Number: 1, Issued: time.Now().Add(5 * time.Hour)}
	head.Expires = head.Issued.Add(protocol.HeadLifetime)
	if err := head.Sign(castest.Key(1)); err != nil {
		t.Fatal(err)
	}
	h.heads.Clock(head, time.Now())
	got, err := h.trust(t.Context(), &request{Local: true}, protocol.TrustArgs{Action: protocol.ActionAdd, Key: signer})
	if err != nil {
		t.Fatal(err)
	}
	if ahead := got.Rules[0].Signers[0].Ahead; ahead > 5*time.Hour || ahead < 5*time.Hour-time.Minute {
		t.Errorf("got a clock that is %s ahead, want 5 hours", ahead)
	}
}

// protocolOps returns the constants of type Op in package protocol.
func protocolOps(t *testing.T) (ops []protocol.Op) {
	t.Helper()
	files, err := filepath.Glob("../protocol/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if named, ok := spec.Type.(*ast.Ident); ok && named.Name == "Op" {
				for _, v := range spec.Values {
					name, err := strconv.Unquote(v.(*ast.BasicLit).Value)
					if err != nil {
						t.Fatal(err)
					}
					ops = append(ops, protocol.Op(name))
				}
			}
			return true
		})
	}
	if len(ops) < 20 {
		t.Fatalf("found %d calls in the protocol: %v", len(ops), ops)
	}
	return ops
}

// Each call of the protocol has a function, and no other call has one.
func TestCalls(t *testing.T) {
	// Package control answers OpAttach itself.
	ops := slices.DeleteFunc(protocolOps(t), func(op protocol.Op) bool { return op == protocol.OpAttach })
	for _, op := range ops {
		if calls[op] == nil {
			t.Errorf("no function answers %q", op)
		}
	}
	if len(calls) != len(ops) {
		t.Errorf("%d calls have functions, the protocol has %d", len(calls), len(ops))
	}
}
