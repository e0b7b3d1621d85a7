// Package worker runs builds, and unpacks archives of strangers, in processes of their own. It holds both ends.
//
// The daemon has a Builder and an Unpacker. Each job gets a fresh worker: the daemon's own program, started with Arg, which calls Run.
// The first message to the worker is its job. A build worker then asks the daemon for machine code, for the folders and files of its inputs,
// and for slots. The daemon answers only the requests that an honest worker could make, and ends a worker that makes any other.
// A program may take over the worker that runs it. So the daemon trusts no message of a worker; wasmrt.Spawn documents what it cannot reach.
package worker
