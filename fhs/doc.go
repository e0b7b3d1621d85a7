// Package fhs arranges the files of packages in the tree of an environment. It reads no store and no network: the caller gives the entries of
// the packages' trees, and a function that reads small files.
//
// Merge keeps each file at the path that its package gives it. Compose makes a tree of the Filesystem Hierarchy Standard (FHS 3.0,
// hier(7)) by the layout fhs-1, which is part of what the PID of an environment means: its result may never change, and a better rule is
// another layout. The result depends on the packages alone, not on their order.
//
// A Debian package is one whose tree has the file DEBIAN/control (`fetch deb --control`). Its files keep their paths, except that bin, sbin, lib
// and the like are folded into usr. Any other package has its root below usr, if it has bin, lib, share or the like at its top
// and no usr; otherwise it is a tree of this kind already.
//
// Derived data are the effects of maintainer scripts (debian-policy 6) that programs rely on, such as the links of
// update-alternatives(1), computed from the packages' files. No script runs. The table steps lists them.
package fhs
