package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// askForPackage sends a line to the socket of a daemon and returns the answer, and the connection.
func askForPackage(t *testing.T, dir, word string) (hello, net.Conn) {
	t.Helper()
	conn, err := dialSocket(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var answer hello
	if _, err = fmt.Fprintf(conn, "mount %s\n", word); err == nil {
		var line string
		if line, err = bufio.NewReader(conn).ReadString('\n'); err == nil {
			err = json.Unmarshal([]byte(line), &answer)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return answer, conn
}

// TestHold: the socket answers a call of OpMount, whose caller's connection ends with the socket, and not before.
func TestHold(t *testing.T) {
	held := make(chan context.Context, 8)
	id := pir.Sum([]byte("x"))
	dir, stop := serve(t, func(_ context.Context, actor Actor, call *Call) (any, error) {
		if !actor.Local || call.Op != protocol.OpMount {
			t.Errorf("got %+v, %q", actor, call.Op)
		}
		var args protocol.MountArgs
		if err := json.Unmarshal(call.Args, &args); err != nil || len(args.Packages) != 1 {
			return nil, errors.New("wrong arguments")
		}
		if args.Packages[0] != id {
			return nil, errors.New("it does not count")
		}
		held <- call.Conn
		return protocol.MountState{Path: "/there", Contents: []string{"c"}}, nil
	}, 0)
	answer, conn := askForPackage(t, dir, id.String())
	var state protocol.MountState
	if err := json.Unmarshal(answer.Result, &state); err != nil || state.Path != "/there" || answer.Error != "" {
		t.Fatalf("got %+v, %v", answer, err)
	}
	caller := <-held
	select {
	case <-caller.Done():
		t.Fatal("the caller has ended while its connection is open")
	case <-time.After(50 * time.Millisecond):
	}
	conn.Close()
	select {
	case <-caller.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the caller has not ended with its connection")
	}

	for _, word := range []string{"", "x", pir.Sum([]byte("y")).String(), strings.Repeat("a", 200)} {
		if answer, _ := askForPackage(t, dir, word); answer.Error == "" {
			t.Errorf("%q: got %+v", word, answer)
		}
	}

	// The end of the daemon ends those that are still there.
	askForPackage(t, dir, id.String())
	caller = <-held
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if caller.Err() == nil {
		t.Error("a caller outlives the daemon")
	}
}
