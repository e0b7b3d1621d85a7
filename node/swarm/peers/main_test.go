package peers

import (
	"testing"

	"go.uber.org/goleak"
)

// What a test starts, it ends. The search for a router (UPnP) alone goes on after a host was closed, for up to 5 s: the library waits that long for
// answers and takes no context. Without the exception `go test -run 'TestMDNS$'` fails, and so does each shuffled order in which that test is late.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/koron/go-ssdp.Search"))
}
