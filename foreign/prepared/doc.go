// Package prepared keeps prepared runs of foreign programs, so that the next run of the same kind needs no evaluation, no decision and no examination.
//
// A Run is what such a preparation came to: the sandbox, and the package that must be shown. It belongs to a Key, which is everything that the preparation took from
// its caller, and to a State, which is everything that it took from files. A run holds as long as its state does. That the node still has the package, with the
// same content, and shows it, is no part of the state: the caller asks the node each time.
package prepared
