// Package inside is the launcher's part of package sandbox: what runs as the first process of a sandbox.
//
// Main has these steps. Every one fails with a report to the caller, and none is skipped:
//
//  1. read the Spec from the caller's socket;
//  2. open what is granted, without following links, and make a detached mount of each;
//  3. build the tree from the detached mounts, make it the root, and detach the tree of the host;
//  4. set limits, host name, clock and loopback;
//  5. give up all capabilities, and put Landlock and seccomp around this process;
//  6. start the program, pass on signals, and collect orphans until the program ends.
package inside
