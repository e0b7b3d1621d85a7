package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/protocol"
)

// yesFlag adds the flag by which a script confirms the effect of a command in advance.
func (a *app) yesFlag(c *cobra.Command) {
	c.Flags().BoolVarP(&a.yes, "yes", "y", false, "answer every question with yes")
}

// confirm explains what a command takes away or gives away, and asks whether to continue. Without a terminal it requires --yes.
func (a *app) confirm(c *cobra.Command, what string) error {
	if a.yes {
		return nil
	}
	what = printable(what)
	in, ok := a.in.(*os.File)
	if !ok || !isatty.IsTerminal(in.Fd()) {
		return protocol.Errorf(protocol.Invalid, "%s: %s", c.CommandPath(), what).WithHint("if that is what you want, add --yes")
	}
	fmt.Fprintf(a.err, "nuka: %s\nGo on? [y/N] ", what)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(in).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case line := <-answer:
		if line == "y" || line == "yes" {
			return nil
		}
		return protocol.Errorf(protocol.Canceled, "nothing was changed")
	case <-c.Context().Done():
		fmt.Fprintln(a.err)
		return c.Context().Err()
	}
}
