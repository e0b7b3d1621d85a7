//go:build !wasip1

package main

import "errors"

func exec(...string) error { return errors.New("only inside of nuka") }
