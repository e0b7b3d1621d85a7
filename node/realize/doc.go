// Package realize turns PIDs into content: found, fetched or built.
//
// To realize a PID is to make its content present in the store. A Realizer does it for the wanted PIDs of a Request
// and what they need, each PID once however many requests want it at the same time.
// Every step is told by an event, so that what was decided can be explained.
//
// README.md beside this file has the algorithm and its promises.
package realize
