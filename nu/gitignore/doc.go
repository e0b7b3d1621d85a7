// Package gitignore reads pattern files such as .gitignore and reports which names git ignores (gitignore(5)).
//
// Patterns are compared byte by byte and case-sensitively, as git does on case-sensitive file systems,
// so a folder has the same files on every system.
package gitignore
