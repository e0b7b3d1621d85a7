// Package supervise keeps the programs of services running: it starts each when those before it are ready, tells when it is ready, restarts it when it fails,
// and stops all in the reverse order.
package supervise
