package sharing

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/receive"
	"github.com/MordragT/nuka/node/config"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// IsMark says whether a root only marks where a tree came from. Such a root does not keep the tree, and goes with it.
func IsMark(root string) bool {
	return strings.HasPrefix(root, meshRoot) || strings.HasPrefix(root, swarmRoot)
}

const (
	// shareRoot begins the names of roots that a user shared by name: their packages are public, whatever the configuration says.
	shareRoot = "share/"
	// meshRoot begins the names of roots whose trees came out of a mesh, "mesh/NAME/CID": the trees never leave it.
	meshRoot = "mesh/"
	// swarmRoot begins the names of roots whose trees came out of the public swarm: "swarm/PID", or "swarm/CID" for content that is in no
	// package. Another node shared them with strangers, so they go to the LAN too, unless a rule is about them.
	swarmRoot = "swarm/"
)

// Store is the set of store operations that Sharing needs.
type Store interface {
	Has(c cid.CID) (bool, error)
	CID(p pir.PID) (cid.CID, error)
	PIR(p pir.PID) (canonical, origins []byte, err error)
	Bindings() iter.Seq2[cas.Binding, error]
	Roots() iter.Seq2[cas.Root, error]
	PutRoot(ctx context.Context, r cas.Root) error
	Walk(ctx context.Context, root cid.CID, visit func(cid.CID) error) error
	Receive(ctx context.Context, root cid.CID, o *receive.Options) (*receive.Receiving, error)
}

// Sharing knows the scope of each package, and the peers that may get each block of the store. It is safe for use by several goroutines.
//
// Blocks have no names, so Sharing keeps sets of them: the blocks of packages with scope off, those of public packages, and those
// of each mesh's packages. A block in the first set goes to no peer, even if a shared package has it too: other nodes have that package as well.
// arriving.go keeps the same for trees that are being received.
// Content that is in no package has the scope of the rule for "*". Without such a rule it goes to meshes, and to the LAN if it came out of the
// public swarm.
type Sharing struct {
	store  Store
	config func() *config.Config

	mu       sync.RWMutex
	explicit map[pir.PID]bool   // packages that are shared by name, and all that they refer to
	heard    map[pir.PID]string // the mesh, if it alone has told of the package
	passed   map[pir.PID]bool   // packages whose content came out of the public swarm
	public   map[cid.CID]bool   // blocks
	off      map[cid.CID]bool   // blocks
	named    map[cid.CID]bool   // blocks in packages for the LAN and for single meshes; empty if nameless content goes to the LAN too
	meshes   map[cid.CID]bool   // blocks in packages for all meshes; empty if nameless content goes there too
	mesh     map[string]map[cid.CID]bool
	arriving map[cid.CID]*arrival
}

// Open reads from the store which packages and trees are shared. refs returns the PIDs that a package refers to.
func Open(ctx context.Context, store Store, settings func() *config.Config, refs func(pir.PID) ([]pir.PID, error)) (*Sharing, error) {
	s := &Sharing{
		store: store, config: settings, explicit: map[pir.PID]bool{}, heard: map[pir.PID]string{}, passed: map[pir.PID]bool{},
		public: map[cid.CID]bool{}, off: map[cid.CID]bool{}, named: map[cid.CID]bool{}, meshes: map[cid.CID]bool{}, mesh: map[string]map[cid.CID]bool{}, arriving: map[cid.CID]*arrival{},
	}
	inMesh := map[cid.CID]string{}
	for root, err := range store.Roots() {
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(root.Name, shareRoot) {
			if err := s.addClosure(root.PID, refs); err != nil {
				return nil, err
			}
		}
		if strings.HasPrefix(root.Name, protocol.RootPublished) {
			if _, err := s.addMarked(ctx, config.Public, root.CID); err != nil {
				return nil, err
			}
		}
		if mark, ok := strings.CutPrefix(root.Name, meshRoot); ok {
			name, _, _ := strings.Cut(mark, "/")
			there, err := s.addMarked(ctx, config.Reach(config.MeshPrefix+name), root.CID)
			if err != nil {
				return nil, err
			}
			if there {
				inMesh[root.CID] = name
			}
		}
		if mark, ok := strings.CutPrefix(root.Name, swarmRoot); ok {
			if id, err := pir.ParsePID(mark); err == nil {
				s.passed[id] = true
			} else if _, ruled := s.rule(pir.PID{}); !ruled {
				if _, err := s.addMarked(ctx, config.LAN, root.CID); err != nil {
					return nil, err
				}
			}
		}
	}
	for b, err := range store.Bindings() {
		if err != nil {
			return nil, err
		}
		if name := inMesh[b.CID]; name != "" {
			s.Hear(name, b.PID)
		}
		if err := s.Learn(ctx, b.PID, b.CID); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// addMarked adds the blocks of a tree that has a mark, and returns whether the store has the tree. A torn journal may have kept the mark alone,
// which counts again when the tree is received again.
func (s *Sharing) addMarked(ctx context.Context, reach config.Reach, root cid.CID) (bool, error) {
	err := s.addBlocks(ctx, reach, root)
	if err == nil {
		return true, nil
	}
	if there, e := s.store.Has(root); there || e != nil || !errors.Is(err, cas.ErrNotFound) {
		return false, err
	}
	return false, nil
}

// addClosure makes a package public, and all that it refers to.
func (s *Sharing) addClosure(id pir.PID, refs func(pir.PID) ([]pir.PID, error)) error {
	s.mu.Lock()
	known := s.explicit[id]
	s.explicit[id] = true
	s.mu.Unlock()
	if known {
		return nil
	}
	list, err := refs(id)
	if errors.Is(err, cas.ErrNotFound) {
		return nil // it rests on a statement of a signer that does not count any more
	}
	if err != nil {
		return err
	}
	for _, ref := range list {
		if err := s.addClosure(ref, refs); err != nil {
			return err
		}
	}
	return nil
}

// Share makes a package of the store public, and all that it refers to, and returns their PIDs. It is durable when Share returns.
func (s *Sharing) Share(ctx context.Context, id pir.PID, root cid.CID, refs func(pir.PID) ([]pir.PID, error)) ([]pir.PID, error) {
	if reach := s.Reach(id); strings.HasPrefix(string(reach), config.MeshPrefix) || reach == config.Off {
		return nil, protocol.Errorf(protocol.Denied, "the scope of %s is %s", id.Short(), reach).
			WithHint("the share rules in config.nuon set the scope, or the mesh that the package came from")
	}
	if err := s.store.PutRoot(ctx, cas.Root{Name: shareRoot + id.String(), CID: root, PID: id, Created: time.Now()}); err != nil {
		return nil, err
	}
	if err := s.addClosure(id, refs); err != nil {
		return nil, err
	}
	closure, seen := []pir.PID{id}, map[pir.PID]bool{id: true}
	for i := 0; i < len(closure); i++ {
		content, err := s.store.CID(closure[i])
		if err != nil {
			continue
		}
		if err := s.Learn(ctx, closure[i], content); err != nil {
			return nil, err
		}
		list, err := refs(closure[i])
		if err != nil {
			continue
		}
		for _, ref := range list {
			if !seen[ref] {
				seen[ref] = true
				closure = append(closure, ref)
			}
		}
	}
	return closure, nil
}

// Any returns whether something is shared by name.
func (s *Sharing) Any() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.explicit) > 0
}

// Reach returns the scope of a package.
func (s *Sharing) Reach(id pir.PID) config.Reach {
	s.mu.RLock()
	explicit, mesh, passed := s.explicit[id], s.heard[id], s.passed[id]
	s.mu.RUnlock()
	if explicit {
		return config.Public
	}
	if mesh != "" {
		return config.Reach(config.MeshPrefix + mesh)
	}
	reach, ruled := s.rule(id)
	if passed && !ruled {
		return config.LAN
	}
	return reach
}

// rule returns the scope that the configuration gives to a package, and whether one of its rules is, or could be, about it. The zero PID is
// that of content in no package.
func (s *Sharing) rule(id pir.PID) (reach config.Reach, ruled bool) {
	if id.IsZero() {
		return s.config().Rule("")
	}
	canonical, _, err := s.store.PIR(id)
	if err != nil { // known by its content alone
		c := s.config()
		return c.UnknownReach(), len(c.Share) > 0
	}
	p, err := pir.Decode(canonical)
	if err != nil {
		return config.Off, true
	}
	return s.config().Rule(p.Name)
}

// passes returns whether content of a package, or of none, goes to the LAN once it came out of the public swarm, because no rule is about it.
func (s *Sharing) passes(id pir.PID) bool {
	if !id.IsZero() && s.Reach(id) != config.Mesh {
		return false // shared by name, or told of by a mesh alone
	}
	_, ruled := s.rule(id)
	return !ruled
}

// nameless returns the scope of content that is in no package. It is never public: no statement says what it is.
func (s *Sharing) nameless() config.Reach {
	if reach := s.config().Reach(""); reach != config.Public {
		return reach
	}
	return config.LAN
}

// Hear notes that a mesh has told of a package. A package that the public swarm ("") tells of as well does not stay in the mesh.
func (s *Sharing) Hear(mesh string, id pir.PID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.heard[id]; !known || mesh == "" {
		s.heard[id] = mesh
	}
}

// meshMark is the name of the root that makes a tree stay in the mesh that it came out of, also after a restart.
func meshMark(mesh string, root cid.CID) string { return meshRoot + mesh + "/" + root.String() }

// Learn brings the sets up to date when a package has content.
func (s *Sharing) Learn(ctx context.Context, id pir.PID, root cid.CID) error {
	reach := s.Reach(id)
	if strings.HasPrefix(string(reach), config.MeshPrefix) {
		if err := s.addBlocks(ctx, config.LAN, root); err != nil {
			return err
		}
	}
	return s.addBlocks(ctx, reach, root)
}

func (s *Sharing) addBlocks(ctx context.Context, reach config.Reach, root cid.CID) error {
	if (reach == config.LAN || reach == config.Mesh) && s.nameless() == reach {
		return nil // as if it were in no package
	}
	s.mu.RLock()
	known := s.set(reach)[root]
	s.mu.RUnlock()
	if known {
		return nil
	}
	// The walk is without the lock, so that peers get answers meanwhile.
	var blocks []cid.CID
	err := s.store.Walk(ctx, root, func(c cid.CID) error {
		blocks = append(blocks, c)
		return nil
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.set(reach)
	if set == nil {
		set = map[cid.CID]bool{}
		s.mesh[strings.TrimPrefix(string(reach), config.MeshPrefix)] = set
	}
	for _, c := range blocks {
		set[c] = true
	}
	return nil
}

// set returns the blocks of a scope; nil for a mesh without known blocks. The caller holds mu.
func (s *Sharing) set(reach config.Reach) map[cid.CID]bool {
	switch reach {
	case config.Off:
		return s.off
	case config.Mesh:
		return s.meshes
	case config.LAN:
		return s.named
	case config.Public:
		return s.public
	}
	return s.mesh[strings.TrimPrefix(string(reach), config.MeshPrefix)]
}

// MayGive returns whether a block may go to a node of a mesh, or of the public swarm (""). private: the node has a private address.
func (s *Sharing) MayGive(c cid.CID, mesh string, private bool) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	coming, named := s.coming(c)
	if s.off[c] || coming[config.Off] {
		return false
	}
	if named = named || s.named[c] || s.meshes[c] || s.public[c]; !named {
		switch s.nameless() {
		case config.LAN, config.Reach(config.MeshPrefix + mesh):
		case config.Mesh:
			if mesh == "" {
				return false
			}
		default:
			return false
		}
	}
	if s.public[c] || coming[config.Public] || mesh != "" && (s.mesh[mesh][c] || coming[config.Reach(config.MeshPrefix+mesh)]) {
		return true
	}
	for reach := range coming {
		if strings.HasPrefix(string(reach), config.MeshPrefix) {
			return false // of another mesh
		}
	}
	for _, blocks := range s.mesh {
		if blocks[c] {
			return false
		}
	}
	if s.meshes[c] || coming[config.Mesh] {
		return mesh != ""
	}
	return private || mesh != ""
}

// MayTell returns whether a node may get statements about a package, as MayGive.
func (s *Sharing) MayTell(id pir.PID, mesh string, private bool) bool {
	switch reach := s.Reach(id); reach {
	case config.Off:
		return false
	case config.Public:
		return true
	case config.Mesh:
		return mesh != ""
	case config.LAN:
		return private || mesh != ""
	default:
		return mesh != "" && string(reach) == config.MeshPrefix+mesh
	}
}
