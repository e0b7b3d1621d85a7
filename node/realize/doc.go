// Package realize turns PIDs into content, which it finds in the store, fetches or builds.
//
// To realize a PID is to make its content present in the store. A Realizer does it for the wanted PIDs of a Request
// and what they need, each PID once however many requests want it at the same time.
// It sends an event for every step, so that the user can see each decision.
//
// README.md beside this file has the algorithm and its promises.
package realize
