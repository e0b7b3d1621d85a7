package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"path"

	"github.com/MordragT/nuka/protocol"
)

// StartDocuments starts the document portal on the bus at address, and returns the absolute path of its file system. It calls the bus without a filter, so only
// a launcher outside of the sandbox can use it. Errors: code Invalid for a wrong address, Unavailable if the bus or the portal does not answer.
func StartDocuments(ctx context.Context, address string) (string, error) {
	socket, err := SocketOf(address)
	if err != nil {
		return "", err
	}
	mount, err := mountPoint(ctx, socket)
	if err != nil {
		return "", protocol.Errorf(protocol.Unavailable, "start the document portal: %w", err).
			WithHint("install xdg-desktop-portal, and a backend for your desktop; without it the program gets no files from the file chooser")
	}
	return mount, nil
}

func mountPoint(ctx context.Context, socket string) (string, error) {
	dialer := net.Dialer{}
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if _, err := dialAuth(conn); err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte("BEGIN\r\n")); err != nil {
		return "", err
	}
	e := &endpoint{conn: conn.(*net.UnixConn)}
	if _, err := e.call(&message{path: busPath, iface: busName, member: "Hello", destination: busName}); err != nil {
		return "", err
	}
	const name = "org.freedesktop.portal.Documents"
	r, err := e.call(&message{path: "/org/freedesktop/portal/documents", iface: name, member: "GetMountPoint", destination: name})
	if err != nil {
		return "", err
	}
	c := &cursor{b: r.body, order: r.order}
	n, err := c.uint32()
	if err != nil || r.signature != "ay" {
		return "", fmt.Errorf("the portal answers with %q: %w", r.signature, err)
	}
	b, err := c.take(int(n))
	b = bytes.TrimSuffix(b, []byte{0})
	if mount := string(b); err == nil && path.IsAbs(mount) && path.Clean(mount) == mount && !bytes.ContainsRune(b, 0) {
		return mount, nil
	}
	return "", fmt.Errorf("the portal answers with the path %q", b)
}

// call sends a call and returns its reply, on an endpoint that nothing else uses.
func (e *endpoint) call(m *message) (*message, error) {
	m.order, m.kind, m.serial = littleEndian, kindCall, 1
	if err := e.write(m); err != nil {
		return nil, err
	}
	for {
		r, err := e.read()
		if err != nil {
			return nil, err
		}
		r.close()
		if r.replySerial != m.serial {
			continue // a signal, as NameAcquired
		}
		if r.kind == kindError {
			text, err := r.argument()
			return nil, errors.Join(fmt.Errorf("%s: %s", r.errorName, text), err)
		}
		return r, nil
	}
}
