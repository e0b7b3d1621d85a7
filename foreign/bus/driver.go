package bus

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A busCall is a member of the bus that a program may call.
type busCall struct {
	iface     string
	signature string
	decide    func(s *session, m *message, arg string) error // owns the message; arg is the string at the start of the body
}

// busCalls are the members of the bus that a program may call. Others concern the whole session, as BecomeMonitor and UpdateActivationEnvironment.
var busCalls = map[string]busCall{
	"Hello":                      {busName, "", (*session).hello},
	"AddMatch":                   {busName, "s", (*session).addMatch},
	"RemoveMatch":                {busName, "s", (*session).removeMatch},
	"GetId":                      {busName, "", (*session).pass},
	"ListNames":                  {busName, "", (*session).listNames},
	"ListActivatableNames":       {busName, "", (*session).listNames},
	"NameHasOwner":               {busName, "s", (*session).nameHasOwner},
	"GetNameOwner":               {busName, "s", (*session).ask},
	"GetConnectionUnixUser":      {busName, "s", (*session).ask},
	"GetConnectionUnixProcessID": {busName, "s", (*session).ask},
	"GetConnectionCredentials":   {busName, "s", (*session).credentials},
	"StartServiceByName":         {busName, "su", (*session).start},
	"RequestName":                {busName, "su", (*session).requestName},
	"ReleaseName":                {busName, "s", (*session).releaseName},
	"Introspect":                 {busName + ".Introspectable", "", (*session).pass},
	"Ping":                       {busName + ".Peer", "", (*session).pass},
	"GetMachineId":               {busName + ".Peer", "", (*session).pass},
}

// callBus decides about a call to the bus itself.
func (s *session) callBus(m *message) error {
	c, ok := busCalls[m.member]
	var arg string
	var err error
	if m.signature == c.signature {
		arg, err = c.argument(m)
	}
	switch {
	case !ok || m.iface != "" && m.iface != c.iface:
		defer m.close()
		s.refused.add("a D-Bus call", m, busName, "")
		return s.refuse(m, "AccessDenied", "no sandboxed program may call %s of the bus", m.member)
	case m.signature != c.signature || err != nil || len(m.files) > 0:
		defer m.close()
		return s.refuse(m, "InvalidArgs", "%s of the bus has arguments of the types %q", m.member, c.signature)
	}
	m.iface = c.iface // the bus would look for the member in all of its interfaces
	return c.decide(s, m, arg)
}

// argument returns the string at the start of the body, and checks that the body is what the signature says. For members that are not about match
// rules, the string is a name, and has nothing that must not reach the log.
func (c *busCall) argument(m *message) (arg string, err error) {
	b := &cursor{b: m.body, order: m.order}
	for _, kind := range c.signature {
		if kind == 's' {
			arg, err = b.string()
		} else {
			_, err = b.uint32()
		}
		if err != nil {
			return "", err
		}
	}
	if b.at != len(m.body) || !strings.HasSuffix(m.member, "Match") && !isName(arg) {
		return "", errors.New("the arguments are malformed")
	}
	return arg, nil
}

func (s *session) pass(m *message, _ string) error { return s.forward(m, nil) }

// hello passes the first call, whose reply has the unique name of the program, and waits until the session is ready.
func (s *session) hello(m *message, _ string) error {
	s.greeted = true
	m.flags &^= flagNoReply
	if err := s.forward(m, s.welcome); err != nil {
		return err
	}
	select {
	case <-s.ready:
	case <-s.stop:
	}
	return nil
}

// hide refuses a call to the bus about a name, and says that the name has no owner.
func (s *session) hide(m *message, name, code string, a Access) error {
	defer m.close()
	s.refused.add("a D-Bus call", m, name, missing(name, a))
	if code == "AccessDenied" {
		return s.refuse(m, code, "this program lacks the permission to own the name %q", name)
	}
	return s.refuse(m, code, "the name %q has no owner, or this program lacks the permission to see it", name)
}

// ask passes a question about the owner of a visible name.
func (s *session) ask(m *message, name string) error {
	if s.visible(name) {
		return s.forward(m, nil)
	}
	return s.hide(m, name, "NameHasNoOwner", See)
}

func (s *session) nameHasOwner(m *message, name string) error {
	if s.visible(name) {
		return s.forward(m, nil)
	}
	defer m.close()
	s.refused.add("a D-Bus call", m, name, missing(name, See))
	if m.flags&flagNoReply != 0 {
		return nil
	}
	no := s.answer(m, kindReply)
	no.signature, no.body = "b", m.order.AppendUint32(nil, 0)
	return s.toClient(no)
}

func (s *session) start(m *message, name string) error {
	if name == busName || s.policy.mayStart(name) {
		return s.forward(m, nil)
	}
	return s.hide(m, name, "ServiceUnknown", Talk)
}

func (s *session) requestName(m *message, name string) error {
	if isUnique(name) || s.policy.access(name) < Own {
		return s.hide(m, name, "AccessDenied", Own)
	}
	s.mu.Lock()
	full := len(s.names) >= maxRules && !s.names[name]
	if !full {
		s.names[name] = true
	}
	s.mu.Unlock()
	if full {
		defer m.close()
		return s.refuse(m, "LimitsExceeded", "the program owns %d names", maxRules)
	}
	return s.forward(m, nil)
}

func (s *session) releaseName(m *message, name string) error {
	if isUnique(name) || s.policy.access(name) < Own {
		return s.hide(m, name, "AccessDenied", Own)
	}
	s.mu.Lock()
	delete(s.names, name)
	s.mu.Unlock()
	return s.forward(m, nil)
}

// listNames passes a question for names, and leaves the visible ones in the reply.
func (s *session) listNames(m *message, _ string) error {
	return s.forward(m, func(r *message) error {
		if r.kind == kindReply {
			names, err := (&cursor{b: r.body, order: r.order}).strings()
			if err != nil || r.signature != "as" {
				r.close()
				return fmt.Errorf("the bus lists names as %q: %w", r.signature, err)
			}
			r.body = appendStrings(nil, r.order, slices.DeleteFunc(names, func(n string) bool { return !s.visible(n) }))
		}
		return s.toClient(r)
	})
}

// credentials passes a question about a visible peer, and leaves the user and the process in the reply. A new bus adds a descriptor of the process.
func (s *session) credentials(m *message, name string) error {
	if !s.visible(name) {
		return s.hide(m, name, "NameHasNoOwner", See)
	}
	return s.forward(m, func(r *message) error {
		if r.kind == kindReply {
			body, err := fewCredentials(r)
			if err != nil {
				r.close()
				return fmt.Errorf("the bus gives credentials as %q: %w", r.signature, err)
			}
			closeFiles(r.files)
			r.files, r.needs, r.body = nil, 0, body
		}
		return s.toClient(r)
	})
}

// fewCredentials returns the body of a reply to GetConnectionCredentials with the user and the process only.
func fewCredentials(r *message) ([]byte, error) {
	c := &cursor{b: r.body, order: r.order}
	n, err := c.uint32()
	if err != nil || r.signature != "a{sv}" {
		return nil, errTruncated
	}
	if err := c.align(8); err != nil {
		return nil, err
	}
	end := c.at + int(n)
	if int64(n) > maxArray || end > len(c.b) {
		return nil, errTruncated
	}
	body := make([]byte, 8)
	for c.at < end {
		if err := c.align(8); err != nil {
			return nil, err
		}
		key, err := c.string()
		if err != nil {
			return nil, err
		}
		sig, err := c.variant()
		if err != nil {
			return nil, err
		}
		if sig != "u" || key != "UnixUserID" && key != "ProcessID" {
			if err := c.skip(sig, 0); err != nil {
				return nil, err
			}
			continue
		}
		value, err := c.uint32()
		if err != nil {
			return nil, err
		}
		body = appendSignature(appendString(pad(body, 8), r.order, key), sig)
		body = r.order.AppendUint32(pad(body, 4), value)
	}
	r.order.PutUint32(body, uint32(len(body)-8))
	return body, nil
}
