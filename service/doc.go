// Package service describes long-running programs in a way that no service manager is named in: a set of services, each a program of a package with its
// arguments, when it is ready, what to do when it ends, and what it may do. Units renders a service for a service manager.
//
// A set is the file services.nuon of a package, which `services {…}` of the package set's lib/services.nu makes. So it has a PID, and refers to the packages whose
// programs it runs.
package service
