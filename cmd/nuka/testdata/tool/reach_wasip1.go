package main

import "errors"

func reach(string) error { return errors.New("only outside of nuka") }
