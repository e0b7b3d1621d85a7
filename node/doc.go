// Package node assembles a daemon from its parts, and answers the calls of light peers.
//
// Run is one daemon with one home. What each part does is in its own package. calls is the table from each call to the function that answers it;
// Handle checks what the caller may do and decodes the arguments.
package node
