// Package sandbox runs a native program in a tree of its own with only what it was given. It is the only door to the name spaces of foreign programs.
//
// A [Spec] is the complete description of a sandbox: the tree, the program, its environment, its network and its limits. What a Spec does not name
// does not exist inside. [Run] and [Start] start the program through the launcher, a small program (cmd/nuka-sandbox) that [FindLauncher] finds. The
// caller creates the name spaces when it starts the launcher, so the launcher is the first process inside, its init. The launcher (sandbox/inside)
// builds the tree, gives up its rights, starts the program, collects orphans, and ends with the program. Then the kernel ends every other process inside.
//
// The Spec reaches the launcher over a socket that the launcher inherits. The reports of the launcher come back on it, so
// a failure of the set-up is a [SetupError] and not an exit code. If the caller ends, the socket closes, and the sandbox ends.
//
// Words: init is the launcher inside; the caller is the process that calls Start; a wall is one mechanism of the kernel that keeps the program in.
// docs/sandbox.md describes the walls, and what they do not cover.
package sandbox
