// Package desktop shows notes on the user's desktop: the Desktop Notifications Specification 1.2, over the D-Bus session bus.
//
// It starts no program: where no bus and no server of notes runs, there is no note.
package desktop

import (
	"context"
	"errors"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/godbus/dbus/v5"
)

const (
	// Limit is the longest time that Show takes. A server that hangs keeps nobody waiting.
	Limit = time.Second
	// maxText bounds the title and the body, in characters.
	maxText = 500
)

// ErrNoBus says that this user has no session bus.
var ErrNoBus = errors.New("there is no session bus")

// A Note is a note for the user.
type Note struct {
	Title, Body string // plain text
	// Replaces is the number of an earlier note, which this one replaces if it is still there; 0 is none.
	Replaces uint32
	Urgent   bool
}

// Address returns the address of the session bus of the user of this process; "" is none.
func Address(getenv func(string) string) string {
	if address := getenv("DBUS_SESSION_BUS_ADDRESS"); address != "" {
		if strings.HasPrefix(address, "autolaunch:") {
			return "" // it would start a bus
		}
		return address
	}
	if dir := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		if info, err := os.Stat(filepath.Join(dir, "bus")); err == nil && info.Mode().Type() == os.ModeSocket {
			return "unix:path=" + dbus.EscapeBusAddressValue(filepath.Join(dir, "bus"))
		}
	}
	return ""
}

// Show shows a note through the bus at an address, and returns its number. It returns within Limit.
func Show(ctx context.Context, address string, n *Note) (uint32, error) {
	if address == "" {
		return 0, ErrNoBus
	}
	ctx, cancel := context.WithTimeout(ctx, Limit)
	type shown struct {
		id  uint32
		err error
	}
	done := make(chan shown, 1)
	go func() { // the library's handshake does not look at ctx; the connection ends with ctx
		defer cancel()
		id, err := show(ctx, address, n)
		done <- shown{id, err}
	}()
	select {
	case s := <-done:
		return s.id, s.err
	case <-ctx.Done():
		select {
		case s := <-done:
			return s.id, s.err
		default:
			return 0, fmt.Errorf("show a note on the desktop: %w", ctx.Err())
		}
	}
}

func show(ctx context.Context, address string, n *Note) (id uint32, err error) {
	conn, err := dbus.Dial(address, dbus.WithContext(ctx))
	if err != nil {
		return 0, fmt.Errorf("show a note on the desktop: %w", err)
	}
	defer conn.Close() //nolint:errcheck // the note is shown, or it is not
	if err := conn.Auth(nil); err != nil {
		return 0, fmt.Errorf("show a note on the desktop: %w", err)
	}
	if err := conn.Hello(); err != nil {
		return 0, fmt.Errorf("show a note on the desktop: %w", err)
	}
	urgency := byte(1)
	if n.Urgent {
		urgency = 2
	}
	server := conn.Object("org.freedesktop.Notifications", "/org/freedesktop/Notifications")
	err = server.CallWithContext(ctx, "org.freedesktop.Notifications.Notify", dbus.FlagNoAutoStart,
		"nuka", n.Replaces, "security-medium", plain(n.Title), html.EscapeString(plain(n.Body)), []string{},
		map[string]dbus.Variant{"urgency": dbus.MakeVariant(urgency)}, int32(-1)).Store(&id)
	if err != nil {
		return 0, fmt.Errorf("show a note on the desktop: %w", err)
	}
	return id, nil
}

// plain returns text without control characters and marks that turn the direction of text, and not too much of it.
func plain(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	runes := []rune(strings.Map(func(r rune) rune {
		if r != '\n' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return '\uFFFD'
		}
		return r
	}, s))
	if len(runes) > maxText {
		runes = append(runes[:maxText-1], '…')
	}
	return string(runes)
}
