package bus

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// welcome gets the reply to Hello, and then asks the bus who owns the visible names. From then on the bus tells the filter of each change before it
// passes a message of the new owner.
func (s *session) welcome(r *message) error {
	if r.kind == kindError {
		return errors.Join(s.toClient(r), errors.New("the bus refuses Hello"))
	}
	unique, err := r.argument()
	if err != nil || !isUnique(unique) || !isName(unique) {
		r.close()
		return fmt.Errorf("the bus gave the unique name %q: %w", unique, err)
	}
	s.mu.Lock()
	s.unique = unique
	s.mu.Unlock()
	if err := s.toClient(r); err != nil {
		return err
	}
	for _, rule := range ownerRules(s.policy) {
		if err := s.question("AddMatch", rule, func(r *message) error {
			if r.kind == kindError {
				return errors.New("the bus refuses to tell who owns a name")
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return s.question("ListNames", "", func(r *message) error {
		names, err := (&cursor{b: r.body, order: r.order}).strings()
		if err != nil || r.kind == kindError || r.signature != "as" {
			return fmt.Errorf("the bus does not list names: %w", err)
		}
		for _, name := range names {
			if isUnique(name) || s.policy.access(name) < See {
				continue
			}
			err := s.question("GetNameOwner", name, func(r *message) error {
				if owner, err := r.argument(); err == nil && r.kind == kindReply {
					s.setOwner(name, owner)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// ownerRules returns match rules for the signal that a visible name has a new owner.
func ownerRules(p *Policy) []string {
	patterns := slices.Collect(maps.Keys(p.Names))
	for _, r := range slices.Concat(p.Calls, p.Broadcasts) {
		patterns = append(patterns, r.Name)
	}
	slices.Sort(patterns)
	var rules []string
	for _, pattern := range slices.Compact(patterns) {
		key := "arg0"
		plain, below := strings.CutSuffix(pattern, ".*")
		if below {
			key = "arg0namespace"
		}
		rules = append(rules, fmt.Sprintf("type='signal',sender='%s',path='%s',interface='%s',member='NameOwnerChanged',%s='%s'",
			busName, busPath, busName, key, plain))
	}
	return rules
}

// question sends a question of the filter itself to the bus. When the last question is answered, the session is ready.
func (s *session) question(member, arg string, then func(*message) error) error {
	m := &message{order: littleEndian, kind: kindCall, path: busPath, iface: busName, member: member, destination: busName}
	if arg != "" {
		m.signature, m.body = "s", appendString(nil, m.order, arg)
	}
	s.mu.Lock()
	s.asked++
	m.serial = s.next()
	s.pending[m.serial] = pending{destination: busName, since: time.Now(), then: func(r *message) error {
		defer r.close()
		if err := then(r); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.asked--; s.asked == 0 {
			close(s.ready)
		}
		return nil
	}}
	s.mu.Unlock()
	return s.toBus(m)
}

// setOwner notes the owner of a visible name; an empty one means that it has none.
func (s *session) setOwner(name, owner string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if owner == "" {
		delete(s.owners, name)
		return
	}
	s.owners[name] = owner
	s.learn(owner, false)
}

// learn notes a unique name that the program has seen, and whether that peer called the program.
func (s *session) learn(unique string, calls bool) {
	s.known[unique] = s.known[unique] || calls
	for name := range s.known {
		if len(s.known) <= maxPeers {
			return
		}
		if name != unique {
			delete(s.known, name) // the bus does not tell of the end of each
		}
	}
}

// fromBus decides about a message of the bus, and owns it. After an error the connection ends.
func (s *session) fromBus(m *message) error {
	switch m.kind {
	case kindReply, kindError:
		return s.busReplies(m)
	case kindCall:
		return s.peerCalls(m)
	case kindSignal:
		if s.hears(m) {
			return s.toClient(m)
		}
	}
	m.close()
	return nil
}

// busReplies passes the reply to a call in progress.
func (s *session) busReplies(m *message) error {
	s.mu.Lock()
	p, ok := s.pending[m.replySerial]
	fits := m.sender == busName || m.sender == p.destination || !isUnique(p.destination) && p.destination != busName
	if ok && fits {
		delete(s.pending, m.replySerial)
	}
	s.mu.Unlock()
	if !ok || !fits {
		m.close()
		return nil
	}
	m.replySerial = p.serial
	if p.then != nil {
		return p.then(m)
	}
	return s.toClient(m)
}

// isMine returns whether a destination is the program: its unique name, or a name that it may own.
func (s *session) isMine(destination string) bool {
	return destination != "" && (destination == s.self() || !isUnique(destination) && s.policy.access(destination) >= Own)
}

// peerCalls passes a call of a peer to the program.
func (s *session) peerCalls(m *message) error {
	if !s.isMine(m.destination) {
		m.close()
		return nil
	}
	s.mu.Lock()
	full := crowded(s.served, func(t time.Time) time.Time { return t })
	if !full && m.flags&flagNoReply == 0 {
		s.served[served{m.sender, m.serial}] = time.Now()
	}
	if !full {
		s.learn(m.sender, true)
	}
	s.mu.Unlock()
	if !full {
		return s.toClient(m)
	}
	defer m.close()
	if m.flags&flagNoReply != 0 {
		return nil
	}
	no := &message{order: m.order, kind: kindError, flags: flagNoReply, replySerial: m.serial, destination: m.sender, errorName: errPrefix + "LimitsExceeded", signature: "s"}
	no.body = appendString(nil, no.order, "the program answers too few of its calls")
	return s.send(no)
}

// hears returns whether a signal reaches the program.
func (s *session) hears(m *message) bool {
	switch {
	case m.sender == busName:
		return s.hearsBus(m)
	case m.destination != "":
		return s.isMine(m.destination)
	}
	return s.anyName(m.sender, func(n string) bool { return s.policy.mayHear(n, m) })
}

// hearsBus returns whether a signal of the bus itself reaches the program, and notes new owners.
func (s *session) hearsBus(m *message) bool {
	name, err := m.argument()
	if err != nil || m.iface != busName {
		return false
	}
	switch m.member {
	case "NameAcquired", "NameLost":
		return s.isMine(m.destination) && s.isMine(name)
	case "NameOwnerChanged":
	default:
		return false
	}
	c := &cursor{b: m.body, order: m.order}
	var args [3]string
	for i := range args {
		if args[i], err = c.string(); err != nil {
			return false
		}
	}
	if isUnique(name) {
		s.mu.Lock()
		defer s.mu.Unlock()
		_, known := s.known[name]
		if args[2] == "" {
			delete(s.known, name)
		}
		return known || name == s.unique
	}
	if s.policy.access(name) < See {
		return false
	}
	s.setOwner(name, args[2])
	return true
}
