// Package floors holds tests of the project's structure: which package may import which, which package owns
// which third-party module, and what files must not contain.
//
// The tests read the files themselves, so that the go command records them as dependencies and serves no stale results.
package floors
