//go:build !linux

package disk

import "io/fs"

func (st *stamp) addSystem(fs.FileInfo) {}
