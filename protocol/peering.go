package protocol

import (
	"time"

	"github.com/MordragT/nuka/pir"
)

// The calls of control that are about other nodes.
const (
	OpTrust   Op = "trust"   // TrustArgs → Trust
	OpShare   Op = "share"   // PathArgs → Shared
	OpGet     Op = "get"     // GetArgs → Realized, with events
	OpPeers   Op = "peers"   // none → []Peer
	OpSwarm   Op = "swarm"   // SwarmArgs → SwarmStatus
	OpExplain Op = "explain" // PathArgs → Explanation
	OpKey     Op = "key"     // KeyArgs → KeyStatus
	OpAttach  Op = "attach"  // AttachArgs → nothing; the first call of a light peer that is not of this machine
	OpGrant   Op = "grant"   // GrantArgs → Granted
	OpMesh    Op = "mesh"    // MeshArgs → Meshes
)

// An Action is what is to be done with a thing that a call is about.
type Action string

// The actions; each call says which it knows. The zero Action only looks.
const (
	ActionAdd     Action = "add"
	ActionRemove  Action = "remove"
	ActionConnect Action = "connect"
	ActionRotate  Action = "rotate"
	ActionRevoke  Action = "revoke"
	ActionCreate  Action = "create"
	ActionInvite  Action = "invite"
	ActionJoin    Action = "join"
	ActionLeave   Action = "leave"
)

// TrustArgs changes the policy: Action is add, remove or none.
type TrustArgs struct {
	Action   Action `json:"action,omitempty"`
	Key      Key    `json:"key,omitzero"`
	Label    string `json:"label,omitempty"`
	Names    string `json:"names,omitempty"`    // the rule's pattern of package names; "" is every package
	Platform string `json:"platform,omitempty"` // the rule's platform; "" is every platform
	Need     int    `json:"need,omitempty"`     // how many signers of the rule must agree from now on; 0 leaves it
}

// A Trust is the policy as it is.
type Trust struct {
	Rules []TrustRule `json:"rules"`
	// Resting are the packages that are here by the word of revoked keys only.
	Resting []Resting `json:"resting,omitempty"`
}

// A TrustRule is a Rule of a Policy.
type TrustRule struct {
	Names    string        `json:"names"`
	Platform string        `json:"platform,omitempty"`
	Need     int           `json:"need"`
	Signers  []TrustSigner `json:"signers"`
}

// A TrustSigner is a Signer of a Rule.
type TrustSigner struct {
	Key     Key    `json:"key"`
	Label   string `json:"label,omitempty"`
	Revoked bool   `json:"revoked,omitempty"` // by its own last word
	Next    Key    `json:"next,omitzero"`     // the key that it says takes over
	// Stale says until when its last word was valid, when that is over: who brings no newer one may be holding it back.
	Stale time.Time `json:"stale,omitzero"`
	// Backward says how the signer, or whoever brought its word, contradicted an earlier one.
	Backward string `json:"backward,omitempty"`
	// Ahead is how far its clock is ahead of this node's, when that is minutes or more: one of the two is wrong.
	// With more than MaxSkew nothing that it says counts.
	Ahead time.Duration `json:"ahead,omitempty"`
}

// A Resting package is here by the word of keys that were revoked since, and by nobody's that counts.
type Resting struct {
	PID  pir.PID `json:"pid"`
	Name string  `json:"name,omitempty"`
	CID  string  `json:"cid"`
	Keys []Key   `json:"keys"` // the revoked ones
	// Roots are the roots whose closures need it.
	Roots []string `json:"roots,omitempty"`
}

// Shared is what others need to get something from this node.
type Shared struct {
	Ticket string `json:"ticket"`
	// Reachable says that the node has an address that is not of this machine alone.
	Reachable bool `json:"reachable"`
}

// GetArgs asks for what a ticket, a PID or a CID names.
type GetArgs struct {
	What    string `json:"what"`
	Offline bool   `json:"offline,omitempty"`
}

// A Peer is a node that this one is connected to.
type Peer struct {
	Key       Key           `json:"key"`
	Mesh      string        `json:"mesh,omitempty"` // the mesh it is in with this node; "" is the public swarm
	Address   string        `json:"address"`
	Transport string        `json:"transport"` // quic or tcp
	Inbound   bool          `json:"inbound"`   // it has called, not we
	Latency   time.Duration `json:"latency"`   // nanoseconds; 0 is unknown
	Received  int64         `json:"received"`  // bytes, since it is connected
	Sent      int64         `json:"sent"`
}

// SwarmArgs joins others: Action is connect, add (a node to begin with, from now on), remove (such a node), or none.
type SwarmArgs struct {
	Action  Action `json:"action,omitempty"`
	Address string `json:"address,omitempty"` // a multiaddr with the node's peer id, or a ticket
}

// SwarmStatus is how a node stands in the swarm.
type SwarmStatus struct {
	Running   bool     `json:"running"` // false: nothing is shared, nobody trusted and nobody known, so no socket is open
	Addresses []string `json:"addresses"`
	Bootstrap []string `json:"bootstrap"` // nodes to begin with
	Peers     int      `json:"peers"`
	Table     int      `json:"table"`    // nodes in the routing table of the DHT
	Provided  int      `json:"provided"` // keys that are announced in the DHT
	Ticket    string   `json:"ticket"`   // of the node itself
}

// An Explanation says why a PID has, or has not, the content that it has.
type Explanation struct {
	PID     pir.PID       `json:"pid"`
	Name    string        `json:"name,omitempty"`
	CID     string        `json:"cid,omitempty"` // what it is bound to
	Way     Way           `json:"way,omitempty"` // present: by whose word it is here
	Why     string        `json:"why"`
	Rests   []Key         `json:"rests,omitempty"` // the revoked keys by whose word alone it is here
	Need    int           `json:"need"`            // how many signers must agree
	Missing int           `json:"missing"`         // how many more votes it takes
	Votes   []ExplainVote `json:"votes"`
	Inputs  []ExplainItem `json:"inputs"`
	// Resolved is the PID of the PIR with its inputs' contents, if they are known, and what that is bound to.
	Resolved    string `json:"resolved,omitempty"`
	ResolvedCID string `json:"resolved_cid,omitempty"`
	// Plan says how it would get its content now, if it is not here.
	Plan *Plan `json:"plan,omitempty"`
	// Similar are other PIDs of the same name and version, and how their descriptions differ from this one.
	Similar []Similar `json:"similar"`
}

// An ExplainVote is a Vote.
type ExplainVote struct {
	Signer  Key    `json:"signer"`
	Label   string `json:"label,omitempty"`
	CID     string `json:"cid"`
	Counts  bool   `json:"counts"`
	Because string `json:"because,omitempty"`
	// Ahead is how far the signer's clock is ahead of this node's, when that is minutes or more; one of the two is wrong.
	Ahead time.Duration `json:"ahead,omitempty"`
}

// An ExplainItem is an input and whether it is here.
type ExplainItem struct {
	Name string  `json:"name"`
	PID  pir.PID `json:"pid"`
	CID  string  `json:"cid,omitempty"`
}

// A Similar package has the same name and version and another PID.
type Similar struct {
	PID    pir.PID  `json:"pid"`
	CID    string   `json:"cid,omitempty"`
	Differ []string `json:"differ"` // the fields of the PIR that differ, such as packages.clang
}

// KeyArgs changes the node's key: Action is rotate, revoke or none.
type KeyArgs struct {
	Action Action `json:"action,omitempty"`
	// Key to revoke; zero is the node's own.
	Key Key `json:"key,omitzero"`
}

// KeyStatus is the node's key and its last word about itself.
type KeyStatus struct {
	Key     Key       `json:"key"`
	Peer    string    `json:"peer"`             // the libp2p peer id of the same key
	Number  int64     `json:"number,omitempty"` // of its head
	Expires time.Time `json:"expires,omitzero"` // of its head
	Before  []Key     `json:"before,omitempty"` // keys that this one took over from
}

// MeshArgs changes a mesh, or looks at all (no Name) or one: Action is create, invite, join, leave, revoke or none.
type MeshArgs struct {
	Action  Action        `json:"action,omitempty"`
	Name    string        `json:"name,omitempty"`
	Member  string        `json:"member,omitempty"`  // what this node is called in the mesh, or whom the invitation is for
	Ticket  string        `json:"ticket,omitempty"`  // to join
	Key     Key           `json:"key,omitzero"`      // of the member to revoke
	Offer   string        `json:"offer,omitempty"`   // id of the invitation to revoke instead
	Invites bool          `json:"invites,omitempty"` // whom the invitation is for may let others in
	For     time.Duration `json:"for,omitempty"`     // how long an invitation holds, in nanoseconds; 0 is a week
}

// Meshes are what a node is in, and the ticket of a new invitation.
type Meshes struct {
	Ticket string       `json:"ticket,omitempty"`
	Meshes []MeshStatus `json:"meshes"`
}

// A MeshStatus is what a node knows of a mesh that it is in.
type MeshStatus struct {
	Name      string    `json:"name"`
	Authority Key       `json:"authority"`
	Invites   bool      `json:"invites"` // this node may let others in
	Expires   time.Time `json:"expires"` // when its own membership ends
	Peers     int       `json:"peers"`   // members that it is connected to
	Members   []Member  `json:"members"` // that it has let in, or seen
	Revoked   []Key     `json:"revoked,omitempty"`
	// Offers are its invitations that still let somebody in.
	Offers []Offer `json:"offers,omitempty"`
	// Names are what members and revoked keys are called: by who has invited them, or by themselves. Several may have one name.
	Names map[Key]string `json:"names,omitempty"`
}

// A Member is a node of a mesh.
type Member struct {
	Key     Key       `json:"key"`
	Invites bool      `json:"invites,omitempty"`
	Seen    time.Time `json:"seen"` // when it was let in, or met last
}

// An Offer is an invitation that nobody has used.
type Offer struct {
	ID      string    `json:"id"`            // derived from the token, which it does not tell
	For     string    `json:"for,omitempty"` // the name of whom it is for
	Invites bool      `json:"invites,omitempty"`
	Expires time.Time `json:"expires"`
}
