// Package gitignore reads files of patterns such as .gitignore, and says which names git ignores by them (gitignore(5)).
//
// Patterns are compared byte by byte and with their case, as git does where file systems tell cases apart,
// so that a folder has the same files on every system.
package gitignore
