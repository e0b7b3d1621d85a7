package bus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// The kinds of messages.
const (
	kindCall   = 1
	kindReply  = 2
	kindError  = 3
	kindSignal = 4
)

// The flags that the filter itself looks at. Others pass as they are, as the specification asks.
const flagNoReply = 1

const (
	fixedSize  = 16       // the part of a header that each message has, with the length of the fields
	maxFields  = 64 << 10 // bytes of the fields of a header
	maxMessage = 16 << 20 // bytes of a message; the specification allows eight times as many
	maxFiles   = 64       // descriptors of a message; the kernel allows 253
	maxName    = 255      // bytes of a name of the bus, an interface, a member
)

// The fields of a header, by their code.
const (
	fieldPath = iota + 1
	fieldInterface
	fieldMember
	fieldErrorName
	fieldReplySerial
	fieldDestination
	fieldSender
	fieldSignature
	fieldFiles
)

// A message is one message with its header decoded. It owns its descriptors and its share of a budget until close.
type message struct {
	order order
	kind  byte
	flags byte

	serial      uint32
	replySerial uint32

	path, iface, member, errorName, destination, sender, signature string

	body   []byte
	files  []int // descriptors
	needs  int   // the number of descriptors that the header names
	budget *budget
	cost   int // of the budget
}

// close closes the descriptors and gives back the message's share of the budget.
func (m *message) close() {
	closeFiles(m.files)
	m.files = nil
	m.budget.release(m.cost)
	m.cost = 0
}

// A fixed is the part of a header that has the same form in each message.
type fixed struct {
	message
	fields, body int // bytes
}

// size returns the number of bytes after the fixed part.
func (f *fixed) size() int { return f.padded() + f.body }

func (f *fixed) padded() int { return (f.fields + 7) &^ 7 }

// parseFixed decodes the first bytes of a message.
func parseFixed(b *[fixedSize]byte) (*fixed, error) {
	f := &fixed{}
	switch b[0] {
	case 'l':
		f.order = binary.LittleEndian
	case 'B':
		f.order = binary.BigEndian
	default:
		return nil, fmt.Errorf("a message begins with %q, which is no byte order", b[0])
	}
	f.kind, f.flags = b[1], b[2]
	body, fields := f.order.Uint32(b[4:]), f.order.Uint32(b[12:])
	f.serial = f.order.Uint32(b[8:])
	switch {
	case f.kind == 0:
		return nil, errors.New("a message is of the invalid kind 0")
	case b[3] != 1:
		return nil, fmt.Errorf("a message has version %d of the protocol, not 1", b[3])
	case f.serial == 0:
		return nil, errors.New("a message has no serial")
	case fields > maxFields:
		return nil, fmt.Errorf("a message has %d bytes of header fields, more than %d", fields, maxFields)
	case body > maxMessage-maxFields-fixedSize:
		return nil, fmt.Errorf("a message has %d bytes, more than %d", body, maxMessage)
	}
	f.fields, f.body = int(fields), int(body)
	return f, nil
}

// parse decodes the bytes after the fixed part. The message's body is a part of b.
func (f *fixed) parse(b []byte) (*message, error) {
	if len(b) != f.size() {
		return nil, errTruncated
	}
	m := &f.message
	c := &cursor{b: b[:f.fields], order: f.order}
	for seen := [256]bool{}; c.at < f.fields; {
		if err := c.align(8); err != nil {
			return nil, err
		}
		code, err := c.byte()
		if err != nil {
			return nil, err
		}
		if seen[code] {
			return nil, fmt.Errorf("a message has header field %d twice", code)
		}
		seen[code] = true
		if err := m.field(code, c); err != nil {
			return nil, fmt.Errorf("header field %d: %w", code, err)
		}
	}
	c = &cursor{b: b[:f.padded()], at: f.fields}
	if err := c.align(8); err != nil {
		return nil, err
	}
	m.body = b[f.padded():]
	return m, m.check()
}

// text returns where the value of a text field goes, and its type; nil for another field.
func (m *message) text(code byte) (into *string, sig string) {
	switch code {
	case fieldPath:
		return &m.path, "o"
	case fieldInterface:
		return &m.iface, "s"
	case fieldMember:
		return &m.member, "s"
	case fieldErrorName:
		return &m.errorName, "s"
	case fieldDestination:
		return &m.destination, "s"
	case fieldSender:
		return &m.sender, "s"
	case fieldSignature:
		return &m.signature, "g"
	}
	return nil, ""
}

// field decodes one field. The filter drops fields that it does not know.
func (m *message) field(code byte, c *cursor) error {
	sig, err := c.variant()
	if err != nil {
		return err
	}
	into, want := m.text(code)
	if code == fieldReplySerial || code == fieldFiles {
		want = "u"
	}
	switch {
	case code == 0:
		return errors.New("the code 0 is invalid")
	case want == "":
		return c.skip(sig, 0)
	case sig != want:
		return fmt.Errorf("its type is %q, not %q", sig, want)
	case want == "g":
		*into, err = c.signature()
		return err
	case want != "u":
		if *into, err = c.string(); err == nil && *into == "" {
			err = errors.New("it is empty")
		}
		return err
	}
	n, err := c.uint32()
	switch {
	case err != nil:
		return err
	case code == fieldReplySerial && n == 0:
		return errors.New("the serial 0 is invalid")
	case code == fieldReplySerial:
		m.replySerial = n
	case n > maxFiles:
		return fmt.Errorf("%d descriptors are more than %d", n, maxFiles)
	default:
		m.needs = int(n)
	}
	return nil
}

// check compares the fields with the kind of the message.
func (m *message) check() error {
	ok := true
	switch m.kind {
	case kindCall:
		ok = m.path != "" && m.member != ""
	case kindReply:
		ok = m.replySerial != 0
	case kindError:
		ok = m.replySerial != 0 && m.errorName != ""
	case kindSignal:
		ok = m.path != "" && m.iface != "" && m.member != ""
	}
	if !ok {
		return fmt.Errorf("a message of kind %d lacks a header field", m.kind)
	}
	if m.signature == "" && len(m.body) > 0 {
		return errors.New("a message has a body without a signature")
	}
	for _, name := range []string{m.destination, m.sender, m.iface, m.member, m.errorName} {
		if !isName(name) {
			return fmt.Errorf("%q is no name", name)
		}
	}
	if m.path != "" && !isPath(m.path) {
		return fmt.Errorf("%q is no path of an object", m.path)
	}
	return nil
}

// isName returns whether a name has only characters that some name on the bus may have. The bus checks the form of each kind of name.
func isName(s string) bool {
	return len(s) <= maxName && onlyOf(s, "-.:")
}

// isPath returns whether s has the characters of a path of an object.
func isPath(s string) bool { return strings.HasPrefix(s, "/") && onlyOf(s, "/") }

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"

// onlyOf returns whether s has only letters, digits, underscores and the characters of more.
func onlyOf(s, more string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune(letters, r) && !strings.ContainsRune(more, r) }) < 0
}

// encode returns the message in the wire format.
func (m *message) encode() []byte {
	o := m.order
	b := make([]byte, 0, fixedSize+256+len(m.body))
	b = append(b, 'l', m.kind, m.flags, 1)
	if o == binary.BigEndian {
		b[0] = 'B'
	}
	b = o.AppendUint32(b, uint32(len(m.body)))
	b = o.AppendUint32(b, m.serial)
	b = append(b, 0, 0, 0, 0) // the length of the fields, set below
	text := func(code byte, sig, s string) {
		if s == "" {
			return
		}
		b = appendSignature(append(pad(b, 8), code), sig)
		if sig == "g" {
			b = appendSignature(b, s)
		} else {
			b = appendString(b, o, s)
		}
	}
	number := func(code byte, n uint32) {
		if n != 0 {
			b = appendSignature(append(pad(b, 8), code), "u")
			b = o.AppendUint32(pad(b, 4), n)
		}
	}
	text(fieldPath, "o", m.path)
	text(fieldInterface, "s", m.iface)
	text(fieldMember, "s", m.member)
	text(fieldErrorName, "s", m.errorName)
	number(fieldReplySerial, m.replySerial)
	text(fieldDestination, "s", m.destination)
	text(fieldSender, "s", m.sender)
	text(fieldSignature, "g", m.signature)
	number(fieldFiles, uint32(m.needs))
	o.PutUint32(b[12:], uint32(len(b)-fixedSize))
	return append(pad(b, 8), m.body...)
}

// argument returns the string at the start of the body.
func (m *message) argument() (string, error) {
	return (&cursor{b: m.body, order: m.order}).string()
}
