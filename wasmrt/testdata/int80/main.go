// Int80 is a worker that makes system calls through the entry for 32-bit programs, as code that has taken over a worker could.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/MordragT/nuka/wasmrt"
)

func int80(nr, a, b, c uintptr) uintptr

func main() {
	conn, err := wasmrt.Enter()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	for {
		b, err := conn.Recv()
		if err != nil {
			return
		}
		var nr, x, y, z uintptr
		if _, err := fmt.Fscan(strings.NewReader(string(b)), &nr, &x, &y, &z); err != nil {
			os.Exit(4)
		}
		if conn.Send(fmt.Appendf(nil, "%d", int(int80(nr, x, y, z)))) != nil {
			os.Exit(5)
		}
	}
}
