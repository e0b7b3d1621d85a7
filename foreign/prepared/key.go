package prepared

import (
	"fmt"
	"os"
	"strings"
)

// Passed are the variables of the caller that each program gets: they tell of the terminal and the user's language, and of nothing else.
var Passed = []string{"TERM", "COLORTERM", "COLUMNS", "LINES", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TZ"}

// variables are those that decide about a run, beside those that are passed.
var variables = []string{"HOME", "USER", "PWD", "PATH", "TMPDIR", "NUKA_HOME", "NUKA_SYSTEM", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"}

// A Key is everything that a preparation took from its caller: options, the current folder, variables. The arguments of the program are no part of it.
type Key []string

// valued are the options of exec that a prepared run may have and that take a value; the others are switches.
var valued = map[string]bool{"runtime": true, "with": true, "allow": true, "app": true, "env": true, "shell": false, "yes": false, "offline": false}

// shell is the program of --shell.
const shell = "bash"

// KeyOf returns the key of a command line of exec, without the word exec, and the program with its arguments. It returns false for a command line that is never
// prepared: one that is wrong, that changes what an application has, or that takes from its caller what no key has.
func KeyOf(args []string) (k Key, program []string, ok bool) {
	options, words, ok := split(args)
	if !ok || os.Getenv("NUKA_NODE") != "" || os.Getenv("NUKA_PACKAGES") != "" {
		return nil, nil, false
	}
	if _, set := os.LookupEnv("NUKA_NODE"); set {
		return nil, nil, false
	}
	program = words
	for _, o := range options {
		name, value, _ := strings.Cut(o, "=")
		if name == "env" && !strings.Contains(value, "=") {
			return nil, nil, false // a variable of the caller
		}
		if name == "shell" {
			program = append([]string{shell}, words...)
		}
	}
	if len(program) == 0 {
		return nil, nil, false
	}
	here, err := os.Getwd()
	if err != nil {
		return nil, nil, false
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, nil, false
	}
	k = append(Key{host, here, program[0], fmt.Sprint(os.Getuid(), os.Getgid(), os.Geteuid(), os.Getegid(), len(options))}, options...)
	for _, list := range [][]string{variables, Passed} {
		for _, name := range list {
			value, set := os.LookupEnv(name)
			if !set {
				name = "no " + name
			}
			k = append(k, name, value)
		}
	}
	return k, program, true
}

// split returns the options of a command line, each as NAME=VALUE, and the words that follow them. It reads them as the command does, and returns false for what
// it does not know.
func split(args []string) (options, words []string, ok bool) {
	for i := 0; i < len(args); i++ {
		word := args[i]
		if word == "--" {
			return options, args[i+1:], true
		}
		if len(word) < 2 || word[0] != '-' {
			return options, args[i:], true
		}
		name, value, given := strings.Cut(strings.TrimPrefix(word, "--"), "=")
		takes, known := valued[name]
		switch {
		case !strings.HasPrefix(word, "--") || !known || given && !takes:
			return nil, nil, false
		case !takes:
			value = "true"
		case !given && i+1 == len(args):
			return nil, nil, false
		case !given:
			i++
			value = args[i]
		}
		options = append(options, name+"="+value)
	}
	return options, nil, true
}
