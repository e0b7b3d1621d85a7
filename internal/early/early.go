// Package early starts prepared runs of foreign programs before the rest of the command.
//
// Most of the time that a run of `nuka exec` takes would be the start of the command itself: a program of 33 MB whose packages are set up one after the other before
// main begins. So the decision falls in the first of them. The Go linker sets up packages in the order of their imports, and this one imports nothing but syscall. It
// replaces the process by the launcher, a small program, which runs what was prepared, or replaces itself by the command again.
//
// It is the one package of the command that acts as it is set up. The command imports it for nothing else.
package early

const (
	// Mode is the first argument of the launcher when it is to run what was prepared. The file of the command follows, and the words after exec.
	Mode = "prepared"
	// Unprepared is the variable that has the command do its work itself.
	Unprepared = "NUKA_UNPREPARED"

	starter = "nuka-sandbox"
	maxPath = 4096
)
