package protocol

import (
	"time"

	"github.com/MordragT/nuka/pir"
)

// The calls of control that concern other nodes.
const (
	OpTrust   Op = "trust"   // TrustArgs → Trust
	OpShare   Op = "share"   // PathArgs → Shared
	OpGet     Op = "get"     // GetArgs → Realized, with events
	OpPeers   Op = "peers"   // none → []Peer
	OpSwarm   Op = "swarm"   // SwarmArgs → SwarmStatus
	OpExplain Op = "explain" // PathArgs → Explanation
	OpKey     Op = "key"     // KeyArgs → KeyStatus
	OpAttach  Op = "attach"  // AttachArgs → nothing; the first call of a light peer on another machine
	OpGrant   Op = "grant"   // GrantArgs → Granted
	OpMesh    Op = "mesh"    // MeshArgs → Meshes
)

// An Action is the operation that a call performs.
type Action string

// The actions. Each call documents which of them it supports. The zero Action only reads.
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
	ActionGet     Action = "get"
)

// TrustArgs changes the policy: Action is add, remove or none.
type TrustArgs struct {
	Action   Action `json:"action,omitempty"`
	Key      Key    `json:"key,omitzero"`
	Label    string `json:"label,omitempty"`
	Names    string `json:"names,omitempty"`    // the rule's pattern of package names; "" is every package
	Platform string `json:"platform,omitempty"` // the rule's platform; "" is every platform
	Need     int    `json:"need,omitempty"`     // how many signers of the rule must agree; 0 leaves the number unchanged
}

// A Trust is the current policy.
type Trust struct {
	Rules []TrustRule `json:"rules"`
	// Resting are the packages in the store whose content only revoked keys claim.
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
	Revoked bool   `json:"revoked,omitempty"` // by its own last head
	Next    Key    `json:"next,omitzero"`     // the key that replaces it, as its last head says
	// Stale is when the signer's newest known head expired, if it has. A peer that sends no newer one may be withholding it.
	Stale time.Time `json:"stale,omitzero"`
	// Backward describes how the signer, or the peer that sent its head, contradicted an earlier head.
	Backward string `json:"backward,omitempty"`
	// Ahead is how far the signer's clock is ahead of this node's, if by minutes or more: one of the two is wrong.
	// Beyond MaxSkew none of its claims count.
	Ahead time.Duration `json:"ahead,omitempty"`
}

// A Resting package is in the store, and only keys that were revoked since claim its content.
type Resting struct {
	PID  pir.PID `json:"pid"`
	Name string  `json:"name,omitempty"`
	CID  string  `json:"cid"`
	Keys []Key   `json:"keys"` // the revoked keys
	// Roots are the roots whose closures need it.
	Roots []string `json:"roots,omitempty"`
}

// Shared is what other nodes need to get a package or content from this node.
type Shared struct {
	Ticket string `json:"ticket"`
	// Reachable reports whether the node has an address that other machines can use.
	Reachable bool `json:"reachable"`
}

// GetArgs requests the content of a ticket, a PID or a CID.
type GetArgs struct {
	What    string `json:"what"`
	Offline bool   `json:"offline,omitempty"`
}

// A Peer is a node to which this one is connected.
type Peer struct {
	Key       Key           `json:"key"`
	Mesh      string        `json:"mesh,omitempty"` // the mesh it is in with this node; "" is the public swarm
	Address   string        `json:"address"`
	Transport string        `json:"transport"` // quic or tcp
	Inbound   bool          `json:"inbound"`   // the peer opened the connection
	Latency   time.Duration `json:"latency"`   // nanoseconds; 0 is unknown
	Received  int64         `json:"received"`  // bytes, since the connection was opened
	Sent      int64         `json:"sent"`
}

// SwarmArgs connects to peers: Action is connect, add (a bootstrap peer), remove (a bootstrap peer), or none.
type SwarmArgs struct {
	Action  Action `json:"action,omitempty"`
	Address string `json:"address,omitempty"` // a multiaddr with the node's peer id, or a ticket
}

// SwarmStatus describes a node's membership of the public swarm.
type SwarmStatus struct {
	Running   bool     `json:"running"` // false: no socket is open, because nothing is shared, no signer is trusted and no bootstrap peer is configured
	Addresses []string `json:"addresses"`
	Bootstrap []string `json:"bootstrap"` // bootstrap peers
	Peers     int      `json:"peers"`
	Table     int      `json:"table"`    // nodes in the routing table of the DHT
	Provided  int      `json:"provided"` // keys announced in the DHT
	Ticket    string   `json:"ticket"`   // of the node itself
}

// An Explanation says why a PID has its content, or why it has none.
type Explanation struct {
	PID     pir.PID       `json:"pid"`
	Name    string        `json:"name,omitempty"`
	CID     string        `json:"cid,omitempty"` // the CID that it is bound to
	Way     Way           `json:"way,omitempty"` // how the PID got its content; empty if the store does not have it
	Why     string        `json:"why"`
	Rests   []Key         `json:"rests,omitempty"` // the revoked keys, if only they claim the content
	Need    int           `json:"need"`            // how many signers must agree
	Missing int           `json:"missing"`         // how many more votes are needed
	Votes   []ExplainVote `json:"votes"`
	Inputs  []ExplainItem `json:"inputs"`
	// Resolved is the resolved PID, if the inputs' contents are known, with the CID that it is bound to.
	Resolved    string `json:"resolved,omitempty"`
	ResolvedCID string `json:"resolved_cid,omitempty"`
	// Plan is the plan for getting the content now, if it is not in the store.
	Plan *Plan `json:"plan,omitempty"`
	// Similar are other PIDs of the same name and version, each with the differences between its PIR and this one.
	Similar []Similar `json:"similar"`
}

// An ExplainVote is a Vote in a form for display and for programs.
type ExplainVote struct {
	Signer  Key    `json:"signer"`
	Label   string `json:"label,omitempty"`
	CID     string `json:"cid"`
	Counts  bool   `json:"counts"`
	Because string `json:"because,omitempty"`
	// Ahead is how far the signer's clock is ahead of this node's, if by minutes or more: one of the two is wrong.
	Ahead time.Duration `json:"ahead,omitempty"`
}

// An ExplainItem is an input and whether it is in the store.
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
	// Key is the key to revoke; zero is the node's own.
	Key Key `json:"key,omitzero"`
}

// KeyStatus is the node's key and the key's newest signed head.
type KeyStatus struct {
	Key     Key       `json:"key"`
	Peer    string    `json:"peer"`             // the libp2p peer id of the same key
	Number  int64     `json:"number,omitempty"` // of its signed head
	Expires time.Time `json:"expires,omitzero"` // of its signed head
	Before  []Key     `json:"before,omitempty"` // earlier keys of the node, which this key replaced
}

// MeshArgs changes a mesh, or shows one (Name) or all (no Name): Action is create, invite, join, leave, revoke or none.
type MeshArgs struct {
	Action  Action        `json:"action,omitempty"`
	Name    string        `json:"name,omitempty"`
	Member  string        `json:"member,omitempty"`  // this node's name in the mesh, or the name of the invited member
	Ticket  string        `json:"ticket,omitempty"`  // to join
	Key     Key           `json:"key,omitzero"`      // of the member to revoke
	Offer   string        `json:"offer,omitempty"`   // id of the invitation to revoke instead
	Invites bool          `json:"invites,omitempty"` // the invited member may admit others
	For     time.Duration `json:"for,omitempty"`     // how long the invitation is valid, in nanoseconds; 0 is a week
}

// Meshes are the meshes that a node is in, and the ticket of a new invitation.
type Meshes struct {
	Ticket string       `json:"ticket,omitempty"`
	Meshes []MeshStatus `json:"meshes"`
}

// A MeshStatus is what a node knows about a mesh that it is in.
type MeshStatus struct {
	Name      string    `json:"name"`
	Authority Key       `json:"authority"`
	Invites   bool      `json:"invites"` // this node may admit others
	Expires   time.Time `json:"expires"` // when its own membership ends
	Peers     int       `json:"peers"`   // members that it is connected to
	Members   []Member  `json:"members"` // members that this node has admitted or met
	Revoked   []Key     `json:"revoked,omitempty"`
	// Offers are this node's invitations that are still valid.
	Offers []Offer `json:"offers,omitempty"`
	// Names are the names of members and of revoked keys, given by the inviting member or by themselves. Several may have the same name.
	Names map[Key]string `json:"names,omitempty"`
}

// A Member is a node of a mesh.
type Member struct {
	Key     Key       `json:"key"`
	Invites bool      `json:"invites,omitempty"`
	Seen    time.Time `json:"seen"` // when it was admitted or last met
}

// An Offer is an unused invitation.
type Offer struct {
	ID      string    `json:"id"`            // derived from the token, and does not reveal it
	For     string    `json:"for,omitempty"` // the name of the invited member
	Invites bool      `json:"invites,omitempty"`
	Expires time.Time `json:"expires"`
}
