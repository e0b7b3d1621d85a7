// Package sharing decides which peers may get which packages and which blocks.
//
// The scope of a package (config.Reach) follows from the rules of the configuration, from what the user has shared by name, and from where it
// came: content out of a mesh stays in the mesh. Roots of the store with marks in their names keep that over a restart.
// A peer asks for blocks, which have no names, so Sharing knows the blocks of each scope.
package sharing
