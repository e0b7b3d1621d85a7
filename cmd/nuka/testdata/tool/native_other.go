//go:build !linux

package main

import "errors"

func native(string, []string) error { return errors.New("only as a native program of Linux") }
