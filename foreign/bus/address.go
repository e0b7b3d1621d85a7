package bus

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/MordragT/nuka/protocol"
)

// SocketOf returns the name of the socket of a bus's address, as net.Dial takes it: a path, or "@" and an abstract name. Of several addresses it
// takes the first of a unix socket. The error's code is Invalid.
func SocketOf(address string) (string, error) {
	for one := range strings.SplitSeq(address, ";") {
		rest, ok := strings.CutPrefix(one, "unix:")
		if !ok {
			continue
		}
		for pair := range strings.SplitSeq(rest, ",") {
			key, value, _ := strings.Cut(pair, "=")
			value, err := url.PathUnescape(value)
			switch {
			case err != nil || value == "" || strings.ContainsRune(value, 0):
			case key == "path" && filepath.IsAbs(value):
				return value, nil
			case key == "abstract":
				return "@" + value, nil
			case key == "runtime" && value == "yes" && os.Getenv("XDG_RUNTIME_DIR") != "":
				return filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "bus"), nil
			}
		}
	}
	return "", protocol.Errorf(protocol.Invalid, "%q is no address of a session bus on a unix socket", address).
		WithHint("pass the value of DBUS_SESSION_BUS_ADDRESS of the user's session, as unix:path=/run/user/1000/bus")
}
