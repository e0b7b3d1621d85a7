// Package receive takes in trees whose blocks come from elsewhere, in any order.
//
// A Receiving is one tree on its way. First it wants nodes, of which those whose parents are known; when no node is missing,
// it plans: it checks the tree as a whole and lists the leaves that the store lacks. Then it wants those leaves.
// Finish makes the tree part of the store. The folder of a Receiving keeps the blocks received so far across crashes;
// nothing in it is believed before it is compared with its hash.
package receive
