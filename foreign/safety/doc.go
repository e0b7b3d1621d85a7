// Package safety decides whether a native program may run outside a sandbox: one whose package states how it is memory-safe, and whose file shows it.
//
// The statement is in the package's description, the field memory_safe: the language, how the program is linked, and how it was built. Whoever signs
// for the package answers for it. The file is compared with it, so that a mistake is found: a library of C that was linked, cgo that was on. A file can lie
// about itself: the check is no defence against a hostile package, but the policy about signers is.
package safety
