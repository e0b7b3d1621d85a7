// Package config reads config.nuon, the settings of a node.
//
// Both the daemon and `nuka doctor` read them, so this package does not depend on a store or a network.
package config
