// Package floors holds the tests that keep the shape of the project: which package may import which, which one owns
// which module of others, and what no file may contain.
//
// The tests read the files themselves, so that the go command knows what they depend on and serves no stale result.
package floors
