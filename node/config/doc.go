// Package config reads config.nuon, the settings of a node.
//
// The daemon goes by them and `nuka doctor` reads them, so this package knows nothing of a store or a network.
package config
