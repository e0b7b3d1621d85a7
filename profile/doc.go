// Package profile keeps the programs that a user has installed: profiles and their generations.
//
// A profile is a folder. Each change of the installed packages makes a generation, a folder that never changes afterwards; the link
// "current" names the generation in use, and one rename switches it. So a crash leaves the old or the new generation.
//
//	NAME/lock                 one command at a time changes the profile
//	NAME/current              a link to N
//	NAME/N/generation.nuon    what was asked for, and the PIDs that it gave
//	NAME/N/bin/               a launcher for each command of the packages
//	NAME/N/tree               a link to the environment in the mount, for manual pages and completions; absent without packages
//
// The content of a generation is an environment, a PIR of kind env. A generation without packages has none.
// The package also writes the hooks of shells, and keeps the list of the folders whose nuka.nu a hook may enter.
package profile
