package bus

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// A raw program sends bytes that no library would.
type raw struct {
	t    testing.TB
	conn *net.UnixConn
	end  *endpoint
	name string // unique
}

// dialRaw connects to a bus or filter, and says Hello.
func dialRaw(t testing.TB, address string) *raw {
	t.Helper()
	r := dialSilent(t, address)
	if _, err := io.WriteString(r.conn, "\x00AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"DATA", "OK ", "AGREE_UNIX_FD"} {
		if line, err := readLine(r.conn); err != nil || !strings.HasPrefix(line, want) {
			t.Fatalf("the handshake: got %q, %v, want %s", line, err, want)
		}
	}
	r.end.files = true
	r.send(busMessage("Hello"))
	m := r.reply(1)
	r.name, _ = m.argument()
	return r
}

// dialSilent connects, and says nothing.
func dialSilent(t testing.TB, address string) *raw {
	t.Helper()
	conn, err := net.Dial("unix", strings.TrimPrefix(strings.Split(address, ",")[0], "unix:path="))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	c := conn.(*net.UnixConn)
	return &raw{t: t, conn: c, end: &endpoint{conn: c}}
}

// busMessage is a call to the bus, with string arguments.
func busMessage(member string, args ...string) *message {
	m := &message{order: littleEndian, kind: kindCall, serial: 1, path: busPath, iface: busName, member: member, destination: busName}
	for _, arg := range args {
		m.signature, m.body = m.signature+"s", appendString(m.body, m.order, arg)
	}
	return m
}

// echoMessage is a call of Echo.
func echoMessage(to string, serial uint32) *message {
	return &message{order: littleEndian, kind: kindCall, serial: serial, path: "/org/test", iface: "org.test.Echo", member: "Echo", destination: to,
		signature: "s", body: appendString(nil, littleEndian, "hello")}
}

func (r *raw) send(m *message) {
	r.t.Helper()
	if err := r.end.write(m); err != nil {
		r.t.Fatal(err)
	}
}

// reply reads messages up to the reply to a serial.
func (r *raw) reply(serial uint32) *message {
	r.t.Helper()
	for {
		m, err := r.end.read()
		if err != nil {
			r.t.Fatalf("wait for the reply to %d: %v", serial, err)
		}
		if m.replySerial == serial {
			return m
		}
	}
}

// ended returns whether the filter ends the connection.
func (r *raw) ended() bool {
	for {
		if _, err := r.end.read(); err != nil {
			return !os.IsTimeout(err)
		}
	}
}

// openFiles returns the number of descriptors of this process, after the connections of earlier tests are gone.
func openFiles(t testing.TB) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// settle waits until a count is what it should be.
func settle(t *testing.T, what string, want int, count func() int) {
	t.Helper()
	got := count()
	for deadline := time.Now().Add(5 * time.Second); got > want && time.Now().Before(deadline); got = count() {
		time.Sleep(5 * time.Millisecond)
	}
	if got > want {
		all, _ := os.ReadDir("/proc/self/fd")
		for _, f := range all {
			link, _ := os.Readlink("/proc/self/fd/" + f.Name())
			t.Log(f.Name(), link)
		}
		t.Errorf("got %d %s, want %d", got, what, want)
	}
}

// TestMalformedEnds checks that a message that programs could read in two ways ends the connection, and no other connection.
func TestMalformedEnds(t *testing.T) {
	bus := daemon(t)
	peer(t, bus, "org.test.Talk")
	filter, _ := proxy(t, bus, policy())
	other := client(t, filter)
	good := echoMessage("org.test.Talk", 2).encode()
	with := func(at int, b byte) []byte {
		c := bytes.Clone(good)
		c[at] = b
		return c
	}
	field := func(b ...byte) []byte {
		c := append(pad(bytes.Clone(good[:fixedSize+binary.LittleEndian.Uint32(good[12:])]), 8), b...)
		binary.LittleEndian.PutUint32(c[12:], uint32(len(c)-fixedSize))
		return append(pad(c, 8), appendString(nil, littleEndian, "hello")...)
	}
	for name, bytes := range map[string][]byte{
		"byte order":          with(0, 'x'),
		"kind 0":              with(1, 0),
		"version":             with(3, 2),
		"no serial":           with(8, 0),
		"huge body":           with(7, 0x7f),
		"huge fields":         with(15, 0x7f),
		"padding":             with(fixedSize+5+4+len("/org/test")+1+3, 1),
		"second destination":  field(fieldDestination, 1, 's', 0, 3, 0, 0, 0, 'a', '.', 'b', 0),
		"a field's type":      field(fieldErrorName, 1, 'o', 0, 3, 0, 0, 0, 'a', '.', 'b', 0),
		"sender is no name":   field(fieldSender, 1, 's', 0, 3, 0, 0, 0, 'a', '\n', 'b', 0),
		"unknown field":       field(99, 1, 'a', 0, 0, 0, 0, 0),
		"descriptors missing": field(fieldFiles, 1, 'u', 0, 1, 0, 0, 0),
		"first message":       nil,
	} {
		t.Run(name, func(t *testing.T) {
			var r *raw
			if bytes == nil {
				r, bytes = dialSilent(t, filter), append([]byte("\x00AUTH EXTERNAL 30\r\nBEGIN\r\n"), good...)
			} else {
				r = dialRaw(t, filter)
			}
			if _, err := r.conn.Write(bytes); err != nil {
				t.Fatal(err)
			}
			if !r.ended() {
				t.Error("the connection did not end")
			}
			if err := say(other, "org.test.Talk"); err != nil {
				t.Errorf("another connection: %v", err)
			}
		})
	}
}

// TestWellFormed sends messages that are unusual and allowed.
func TestWellFormed(t *testing.T) {
	bus := daemon(t)
	peer(t, bus, "org.test.Talk")
	filter, _ := proxy(t, bus, policy())
	r := dialRaw(t, filter)
	check := func(what string, serial uint32, want string) {
		t.Helper()
		if m := r.reply(serial); strings.TrimPrefix(m.errorName, errPrefix) != want {
			t.Errorf("%s: got %q, want %q", what, m.errorName, want)
		}
	}
	for _, b := range echoMessage("org.test.Talk", 7).encode() {
		if _, err := r.conn.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	check("single bytes", 7, "")
	big := echoMessage("org.test.Talk", 8)
	big.order = binary.BigEndian
	big.body = appendString(nil, big.order, "hello")
	r.send(big)
	check("big endian", 8, "")
	big = echoMessage("org.test.Hidden", 9)
	big.order = binary.BigEndian
	big.body = appendString(nil, big.order, "hello")
	r.send(big)
	check("big endian, refused", 9, "ServiceUnknown")
	for _, kind := range []byte{5, 200} {
		odd := echoMessage("org.test.Talk", 10)
		odd.kind = kind
		r.send(odd)
	}
	forged := echoMessage("org.test.Talk", 11)
	forged.sender = busName
	r.send(forged)
	check("a forged sender", 11, "")
	forged = busMessage("GetId")
	forged.flags, forged.serial = 0xf0, 11
	r.send(forged)
	check("unknown kinds, unknown flags", 11, "")
	bus1 := busMessage("GetId")
	bus1.iface, bus1.serial = "", 12
	r.send(bus1)
	check("a call of the bus without an interface", 12, "")
	bus1 = busMessage("GetNameOwner", "x\ny")
	bus1.serial = 13
	r.send(bus1)
	check("a name that is none", 13, "InvalidArgs")
	bus1 = busMessage("NameHasOwner", "org.test.Talk")
	bus1.serial, bus1.body = 13, append(bus1.body, 0)
	r.send(bus1)
	check("a body with a rest", 13, "InvalidArgs")
	quiet := echoMessage("org.test.Hidden", 14)
	quiet.flags = flagNoReply
	r.send(quiet)
	r.send(echoMessage("org.test.Talk", 15))
	for {
		m, err := r.end.read()
		if err != nil {
			t.Fatal(err)
		}
		if m.replySerial == 14 {
			t.Error("a refused call that wants no reply got one")
		}
		if m.replySerial == 15 {
			break
		}
	}
}

// TestForgedReplies checks that a program answers only calls that it got, and each once.
func TestForgedReplies(t *testing.T) {
	bus := daemon(t)
	filter, log := proxy(t, bus, policy())
	r, other := dialRaw(t, filter), dialRaw(t, bus)
	answer := func(serial uint32) *message {
		return &message{order: littleEndian, kind: kindReply, serial: 5, replySerial: serial, destination: other.name, signature: "s", body: appendString(nil, littleEndian, "forged")}
	}
	other.send(&message{order: littleEndian, kind: kindCall, serial: 77, path: "/", member: "Question", destination: r.name})
	for {
		m, err := r.end.read()
		if err != nil {
			t.Fatal(err)
		}
		if m.member == "Question" {
			break
		}
	}
	r.send(answer(76)) // dbus-daemon itself would end the connection of a program that forges a reply: it has no such call
	r.send(answer(77))
	r.send(answer(77))
	if m := other.reply(77); m.kind != kindReply {
		t.Errorf("got a reply of kind %d", m.kind)
	}
	r.send(busMessage("GetId"))
	r.reply(1)
	if n := strings.Count(log.String(), "refused a D-Bus reply to no call"); n != 1 { // the second refusal is the same line
		t.Errorf("got %d lines about refused replies, want 1: %s", n, log)
	}
}

// memory returns a file in memory with n bytes.
func memory(t *testing.T, n int64) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "memory")
	t.Cleanup(func() { _ = f.Close() })
	if err := f.Truncate(n); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestDescriptors(t *testing.T) {
	bus := daemon(t)
	peer(t, bus, "org.test.Talk", "org.test.Hidden")
	filter, _ := proxy(t, bus, policy())
	f := memory(t, 4321)
	c := client(t, filter)
	size := func(name string) (n int64, err error) {
		err = c.Object(name, "/org/test").Call("org.test.Echo.Size", 0, dbus.UnixFD(f.Fd())).Store(&n)
		return n, err
	}
	if n, err := size("org.test.Talk"); n != 4321 || err != nil {
		t.Fatalf("the size of the passed file: got %d, %v", n, err)
	}
	before := openFiles(t)
	for range 50 {
		if _, err := size("org.freedesktop.systemd1"); errorName(err) != "ServiceUnknown" {
			t.Fatal(err)
		}
		if _, err := size("org.test.Talk"); err != nil {
			t.Fatal(err)
		}
	}
	settle(t, "open files after refused calls", before, func() int { return openFiles(t) })

	// More or fewer descriptors than the header names, or after the message.
	for _, n := range []int{0, 2, maxFiles + 1, 200} {
		r := dialRaw(t, filter)
		m := echoMessage("org.test.Talk", 2)
		m.needs = 1
		files := make([]int, n)
		for i := range files {
			files[i] = int(f.Fd())
		}
		var oob []byte
		if n > 0 {
			oob = unix.UnixRights(files...)
		}
		if _, _, err := r.conn.WriteMsgUnix(m.encode(), oob, nil); err != nil {
			t.Fatal(err)
		}
		if !r.ended() {
			t.Errorf("%d descriptors where the header names 1: the connection did not end", n)
		}
		_ = r.conn.Close()
	}
	// Descriptors with each byte of a message that does not end.
	r := dialRaw(t, filter)
	for _, b := range echoMessage("org.test.Talk", 2).encode()[:4] {
		if _, _, err := r.conn.WriteMsgUnix([]byte{b}, unix.UnixRights(slices.Repeat([]int{int(f.Fd())}, maxFiles)...), nil); err != nil {
			break // the filter has ended the connection
		}
	}
	if !r.ended() {
		t.Error("descriptors without end: the connection did not end")
	}
	_ = r.conn.Close()
	settle(t, "open files after wrong numbers of descriptors", before, func() int { return openFiles(t) })
}

// TestHalfMessage checks that a program that never completes its message costs what it sent, and delays no other connection.
func TestHalfMessage(t *testing.T) {
	bus := daemon(t)
	peer(t, bus, "org.test.Talk")
	filter, _ := proxy(t, bus, policy())
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 50 {
		r := dialRaw(t, filter)
		m := echoMessage("org.test.Talk", 2).encode()
		binary.LittleEndian.PutUint32(m[4:], maxMessage-maxFields-fixedSize)
		if _, err := r.conn.Write(m); err != nil {
			t.Fatal(err)
		}
	}
	c := client(t, filter)
	if err := say(c, "org.test.Talk"); err != nil {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.TotalAlloc - before.TotalAlloc); grown > 64<<20 {
		t.Errorf("50 half messages allocated %d bytes", grown)
	}
}

// TestSlowReader checks that a program that does not read ends its own connection, and does not fill the memory of the filter.
func TestSlowReader(t *testing.T) {
	bus := daemon(t)
	peer(t, bus, "org.test.Talk")
	filter, log := proxy(t, bus, policy())
	slow, c := dialRaw(t, filter), client(t, filter)
	body := appendString(nil, littleEndian, strings.Repeat("x", 1<<20))
	for serial := uint32(2); serial < 40; serial++ {
		m := echoMessage("org.test.Talk", serial)
		m.body = body
		if err := slow.end.write(m); err != nil {
			break // the filter has ended the connection
		}
	}
	if err := say(c, "org.test.Talk"); err != nil {
		t.Error(err)
	}
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(log.String(), errSlow.Error()); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the connection goes on; the log: %s", log)
		}
	}
}

// TestClosedInBetween ends connections at each byte of a call, and checks that nothing of them stays.
func TestClosedInBetween(t *testing.T) {
	bus := daemon(t)
	peer(t, bus, "org.test.Talk")
	filter, _ := proxy(t, bus, policy())
	f := memory(t, 1)
	dialRaw(t, filter)
	files, routines := openFiles(t), runtime.NumGoroutine()
	m := echoMessage("org.test.Talk", 2)
	m.needs = 1
	whole := m.encode()
	for n := 1; n < len(whole); n += 3 { // the peer, in this process, would keep the descriptor of a whole call
		r := dialRaw(t, filter)
		if _, _, err := r.conn.WriteMsgUnix(whole[:n], unix.UnixRights(int(f.Fd())), nil); err != nil {
			t.Fatal(err)
		}
		_ = r.conn.Close()
	}
	settle(t, "open files", files, func() int { return openFiles(t) })
	settle(t, "goroutines", routines, runtime.NumGoroutine)
}

// TestManyConnections checks the bound on connections, and that it is one on those that are open.
func TestManyConnections(t *testing.T) {
	bus := daemon(t)
	filter, log := proxy(t, bus, policy())
	var all []*raw
	for range maxConnections {
		all = append(all, dialRaw(t, filter))
	}
	if r := dialSilent(t, filter); !r.ended() {
		t.Error("one connection too many was served")
	}
	if want := fmt.Sprintf("the program has %d already", maxConnections); !strings.Contains(log.String(), want) {
		t.Errorf("the log does not say %q: %s", want, log)
	}
	_ = all[0].conn.Close()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c, err := dbus.Connect(filter); err == nil {
			_ = c.Close()
			return
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
