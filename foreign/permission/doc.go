// Package permission holds what a foreign program may do beyond its private home: reach the network, see files and devices, talk to services.
//
// A Permission is one right. A package asks for rights in the field permissions of its run record, a user gives and takes them on the command line
// and for an application, in a Book. A program starts with the rights that a Decision has as its result.
package permission
