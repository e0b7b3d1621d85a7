package node

import (
	"testing"

	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// rootNames returns the names of the roots that a call lists.
func rootNames(t *testing.T, h *handler, a protocol.RootsArgs) map[string]protocol.Root {
	t.Helper()
	a.List = true
	list, err := h.roots(t.Context(), &request{Local: true}, a)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]protocol.Root{}
	for _, r := range list {
		out[r.Name] = r
	}
	return out
}

func TestRoots(t *testing.T) {
	h := newHandler(t)
	id, content := castest.Package(t, h.store, h.private, "mine", tree("mine"))
	_, other := castest.Package(t, h.store, h.private, "other", tree("other"))
	got := rootNames(t, h, protocol.RootsArgs{Put: []protocol.Root{
		{Name: "profile/default/1", PID: id}, {Name: "user/tools", PID: id}, {Name: "user/content", CID: other.String()},
	}})
	if r := got["profile/default/1"]; len(got) != 3 || r.PID != id || r.CID != content.String() || r.Created.IsZero() {
		t.Errorf("got %+v", got)
	}
	got = rootNames(t, h, protocol.RootsArgs{Put: []protocol.Root{{Name: "profile/default/2", PID: id}}, Delete: []string{"profile/default/1"}, Prefix: "profile/"})
	if _, ok := got["profile/default/2"]; len(got) != 1 || !ok {
		t.Errorf("got %+v", got)
	}
	for name, tt := range map[string]struct {
		args protocol.RootsArgs
		want protocol.Code
	}{
		"unknown package": {protocol.RootsArgs{Put: []protocol.Root{{Name: "user/x", PID: pir.Sum([]byte("x"))}}}, protocol.NotFound},
		"unknown content": {protocol.RootsArgs{Put: []protocol.Root{{Name: "user/x", CID: cid.Sum(cid.DagPB, nil).String()}}}, protocol.NotFound},
		"bad content":     {protocol.RootsArgs{Put: []protocol.Root{{Name: "user/x", CID: "x"}}}, protocol.Invalid},
		"no content":      {protocol.RootsArgs{Put: []protocol.Root{{Name: "user/x"}}}, protocol.Invalid},
		"unknown root":    {protocol.RootsArgs{Delete: []string{"user/x"}}, protocol.NotFound},
		"put a mark":      {protocol.RootsArgs{Put: []protocol.Root{{Name: "share/x", PID: id}}}, protocol.Invalid},
		"put got":         {protocol.RootsArgs{Put: []protocol.Root{{Name: "got/x", PID: id}}}, protocol.Invalid},
		"remove a mark":   {protocol.RootsArgs{Delete: []string{"mesh/home/x"}}, protocol.Invalid},
		"dots":            {protocol.RootsArgs{Put: []protocol.Root{{Name: "user/../share/x", PID: id}}}, protocol.Invalid},
		"empty":           {protocol.RootsArgs{Put: []protocol.Root{{Name: "user/", PID: id}}}, protocol.Invalid},
		"one of two": {protocol.RootsArgs{
			Put: []protocol.Root{{Name: "user/x", PID: id}, {Name: "user/y", PID: pir.Sum([]byte("y"))}}, Delete: []string{"user/tools"},
		}, protocol.NotFound},
	} {
		if _, err := h.roots(t.Context(), &request{Local: true}, tt.args); protocol.CodeOf(err) != tt.want {
			t.Errorf("%s: got %v, want code %s", name, err, tt.want)
		}
	}
	if got := rootNames(t, h, protocol.RootsArgs{}); len(got) != 3 {
		t.Errorf("after calls that failed: got %+v", got)
	}
	if protocol.Allows(protocol.Rights(), protocol.OpRoots) {
		t.Error("a ticket allows to change roots")
	}
}

// A realize call stores its roots when everything that it wants is present, and none if that fails or the caller is not the node's user.
func TestRealizeRoots(t *testing.T) {
	h := newHandler(t)
	id, _ := castest.Package(t, h.store, h.private, "mine", tree("mine"))
	local := &request{Local: true, Here: true, Event: func(protocol.Event) {}}
	args := protocol.RealizeArgs{Wanted: []pir.PID{id}, Roots: []protocol.Root{{Name: "profile/default/1", PID: id}}}
	if _, err := h.realize(t.Context(), &request{Event: local.Event}, args); protocol.CodeOf(err) != protocol.Denied {
		t.Errorf("a light peer of another machine: got %v", err)
	}
	failing := args
	failing.Wanted = []pir.PID{id, pir.Sum([]byte("unknown"))}
	if _, err := h.realize(t.Context(), local, failing); err == nil {
		t.Error("an unknown package was realized")
	}
	if got := rootNames(t, h, protocol.RootsArgs{}); len(got) != 0 {
		t.Errorf("after calls that failed: got %+v", got)
	}
	if _, err := h.realize(t.Context(), local, args); err != nil {
		t.Fatal(err)
	}
	if got := rootNames(t, h, protocol.RootsArgs{}); got["profile/default/1"].PID != id {
		t.Errorf("got %+v", got)
	}
}

// TestRootsOfUsers checks that users of a system daemon neither see nor remove each other's roots, nor the administrator's.
func TestRootsOfUsers(t *testing.T) {
	h := newHandler(t)
	id, _ := castest.Package(t, h.store, h.private, "mine", tree("mine"))
	callers := map[string]*request{"root": {Local: true}, "ann": {User: 1001}, "bob": {User: 1002}}
	for name, caller := range callers {
		if _, err := h.roots(t.Context(), caller, protocol.RootsArgs{Put: []protocol.Root{{Name: "user/" + name, PID: id}}}); err != nil {
			t.Fatal(err)
		}
	}
	for name, caller := range callers {
		if name == "root" {
			continue
		}
		list, err := h.roots(t.Context(), caller, protocol.RootsArgs{List: true})
		if err != nil || len(list) != 1 || list[0].Name != "user/"+name {
			t.Errorf("%s sees %v, %v; want its own root", name, list, err)
		}
		for _, other := range []string{"user/root", "user/ann", "user/bob", "users/1001/user/ann", "../users/1001/user/ann", "user/../../1001/user/ann"} {
			if other == "user/"+name {
				continue
			}
			if _, err := h.roots(t.Context(), caller, protocol.RootsArgs{Delete: []string{other}}); err == nil {
				t.Errorf("%s removed %s", name, other)
			}
		}
	}
	list, err := h.roots(t.Context(), callers["root"], protocol.RootsArgs{List: true})
	if err != nil || len(list) != 3 {
		t.Errorf("the administrator sees %v, %v; want all three", list, err)
	}
}
