// Package trust keeps what a node knows of signers: whose statements count, the newest head of each signer, and the node's own key.
//
// A Policy names the signers that count, and for which packages. A head is a signer's signed checkpoint (protocol.Head): it has a number, which
// only grows, and the last one revokes the key. Heads keeps the newest head of each signer, and evidence against signers that went back.
// The node is a signer itself: Speak makes its heads, ChangeKey replaces its key.
package trust
