package wasmrt_test

import (
	"testing"
)

func TestThinPath(t *testing.T) {
	b := newBox(t, nil)
	out := b.run("pwd", "write a.txt hello", "append a.txt world", "cat a.txt", "mkdir d", "ls .", "ls /", "ls /dev", "time", "random", "stat a.txt", "cat /dev/null", "sleep 10h", "env",
		"cat ../build/a.txt", "rename a.txt d/b", "open d d r", "at d ../d/b", "rename d e", "at d b", "at d ../e/b", "at d ../../secret.txt", "open x d r", "cat /etc/passwd")
	t.Log(out)
}
