//go:build !linux

package cas

import "io/fs"

func (st *stamp) addSystem(fs.FileInfo) {}
