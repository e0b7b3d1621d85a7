// Package seccomp assembles filters of system calls and loads them. The lists of calls belong to the packages that confine processes: wasmrt
// allows the few calls of a worker, and sandbox/inside refuses the dangerous calls of foreign programs.
//
// Source: seccomp(2), and Documentation/userspace-api/seccomp_filter.rst of Linux.
package seccomp
