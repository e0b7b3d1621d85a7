// Package deploy brings sets of services into use under a service manager, and back.
//
// A generation is one set as it was applied: the services, the units that were written for them, and the service manager. The folder of services keeps all
// generations and names the current one. A plan is the difference between two of them, as a value. A change carries a plan out: it stops what is not wanted any more,
// writes units, starts and restarts services in their order, waits until they are ready, and goes back to the generation before if they are not. A journal, written
// before the first step, lets the next change finish or take back one that was interrupted.
//
// A unit starts a launcher, `nuka services exec NAME@GENERATION`, which keeps the program of one service running, and tells in a file what it does. So nuka asks
// no service manager whether a service is ready.
package deploy
