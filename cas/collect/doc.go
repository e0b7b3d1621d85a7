// Package collect finds what nothing keeps in a store, and removes it.
//
// An object is live if a root, a lease or a package that is in use leads to it, and dead otherwise. Live is what the rules of
// cas/README.md say; when in doubt, an object is live. The marks of one collection are the sets of live objects.
// A collection first marks, then sweeps: it removes dead objects in batches, each object before the objects that it needs.
package collect
