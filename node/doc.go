// Package node assembles a daemon from its parts: the store, the realizer, its worker processes, and control.
//
// A Node is one daemon with one home. It is wiring: what each part does is in its own package.
package node
