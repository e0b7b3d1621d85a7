// Package bus is a filter between a sandboxed program and the session bus: D-Bus messages go through it, and a Policy decides which.
//
// A Policy gives a program the right to see, to talk to, or to own names on the bus. The filter is a client of the bus for each connection of
// the program: the bus sees the filter's process, so a portal that identifies its caller by the process finds the file /.flatpak-info
// in the filter's own mount name space.
//
// The filter decodes the header of each message and encodes it anew, so the bus reads what the filter decided about. The body passes as it is,
// except in calls to the bus itself. The bus compares the body with its signature.
//
// A peer is another program on the bus. A unique name, such as :1.42, is the bus's name for one connection; the program may know a peer's unique
// name only while that peer owns a name that the policy shows. A refusal is a message that the filter did not pass; a refused call
// gets an error as its reply, and the log says which permission was missing.
//
// docs/portals.md describes what a program may do. Source: the D-Bus specification 0.42, https://dbus.freedesktop.org/doc/dbus-specification.html
package bus
