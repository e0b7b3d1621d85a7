package bus

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	busName   = "org.freedesktop.DBus"
	busPath   = "/org/freedesktop/DBus"
	errPrefix = busName + ".Error."

	maxCalls = 4096             // calls in progress, in each direction
	oldCall  = 10 * time.Minute // a call in progress may be forgotten after this time, if there are too many
	maxRules = 4096             // match rules of a program, and names that it owns
	maxRule  = 1024             // bytes of a match rule, as in the bus
	maxPeers = 4096             // unique names that a session remembers
)

// A session decides about the messages of one connection of a program.
// The methods fromClient and fromBus may run at the same time, each for one message after the other.
type session struct {
	policy   *Policy
	refused  *refusals
	toClient func(*message) error // owns the message
	toBus    func(*message) error // owns the message
	ready    chan struct{}        // closed when the owners of the visible names are known
	stop     chan struct{}        // closed by end
	greeted  bool                 // the program has sent Hello; only fromClient uses it

	mu      sync.Mutex
	unique  string // the program's own; empty before the reply to Hello
	serial  uint32 // of the last message to the bus
	asked   int    // questions of the filter itself that have no answer yet
	pending map[uint32]pending
	served  map[served]time.Time // calls that reached the program and have no reply
	owners  map[string]string    // unique names of the owners of visible names
	known   map[string]bool      // unique names that the program has learned; true: it called the program
	rules   map[string]*rule     // match rules that the program added
	added   int                  // their number, with those that the bus has not answered
	names   map[string]bool      // names that the program asked to own
}

// A pending call is one that the bus has and that has no reply yet.
type pending struct {
	serial      uint32 // the program's; zero if the filter itself called
	destination string
	since       time.Time
	then        func(*message) error // gets the reply and owns it; nil passes the reply to the program
}

// A served call is one that reached the program: its caller and the caller's serial.
type served struct {
	caller string
	serial uint32
}

func newSession(p *Policy, refused *refusals, toClient, toBus func(*message) error) *session {
	return &session{
		policy: p, refused: refused, toClient: toClient, toBus: toBus, ready: make(chan struct{}), stop: make(chan struct{}),
		pending: map[uint32]pending{}, served: map[served]time.Time{}, owners: map[string]string{}, known: map[string]bool{},
		rules: map[string]*rule{}, names: map[string]bool{},
	}
}

// end ends the waiting of fromClient for answers of the bus.
func (s *session) end() { close(s.stop) }

func isUnique(name string) bool { return strings.HasPrefix(name, ":") }

// namesOf returns the visible names of a destination: itself, or those that a unique name owns.
func (s *session) namesOf(destination string) []string {
	if !isUnique(destination) {
		return []string{destination}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name, owner := range s.owners {
		if owner == destination {
			names = append(names, name)
		}
	}
	return names
}

// self returns the program's own unique name.
func (s *session) self() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unique
}

// anyName returns whether a destination is the program itself, or has a visible name that is allowed.
func (s *session) anyName(destination string, allowed func(name string) bool) bool {
	if isUnique(destination) && destination == s.self() {
		return true
	}
	for _, name := range s.namesOf(destination) {
		if allowed(name) {
			return true
		}
	}
	return false
}

// visible returns whether the program may know a name. It sees its callers, so that it can wait for their end.
func (s *session) visible(name string) bool {
	return name == busName || s.anyName(name, func(n string) bool { return s.policy.access(n) >= See }) || s.isCaller(name)
}

func (s *session) isCaller(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[name]
}

// fromClient decides about a message of the program, and owns it. After an error the connection ends.
func (s *session) fromClient(m *message) error {
	m.sender = "" // the bus sets it
	if hello := m.kind == kindCall && m.destination == busName && m.member == "Hello"; hello == s.greeted {
		defer m.close()
		if hello {
			return s.refuse(m, "Failed", "Hello was sent before")
		}
		return errors.New("the first message is not Hello")
	}
	switch m.kind {
	case kindCall:
		return s.clientCalls(m)
	case kindReply, kindError:
		return s.clientReplies(m)
	case kindSignal:
		if m.destination == "" || s.mayCall(m) {
			return s.send(m)
		}
		s.refused.add("a D-Bus signal", m, m.destination, missing(m.destination, Talk))
	default:
		s.refused.add(fmt.Sprintf("a D-Bus message of the unknown kind %d", m.kind), m, m.destination, "")
	}
	m.close()
	return nil
}

func (s *session) mayCall(m *message) bool {
	return s.anyName(m.destination, func(n string) bool { return s.policy.mayCall(n, m) })
}

// clientCalls decides about a call.
func (s *session) clientCalls(m *message) error {
	switch {
	case m.destination == busName:
		return s.callBus(m)
	case m.destination != "" && s.mayCall(m):
		return s.forward(m, nil)
	}
	defer m.close()
	s.refused.add("a D-Bus call", m, m.destination, missing(m.destination, Talk))
	if m.destination == "" {
		return s.refuse(m, "AccessDenied", "a call needs a destination")
	}
	if s.visible(m.destination) {
		return s.refuse(m, "AccessDenied", "this program may not call %s.%s of %s", m.iface, m.member, m.destination)
	}
	if isUnique(m.destination) {
		return s.refuse(m, "NameHasNoOwner", "no peer that this program may see has the name %s", m.destination)
	}
	return s.refuse(m, "ServiceUnknown", "the name %s has no owner, or this program lacks the permission to call it", m.destination)
}

// clientReplies passes a reply to a call that reached the program, once.
func (s *session) clientReplies(m *message) error {
	key := served{m.destination, m.replySerial}
	s.mu.Lock()
	_, ok := s.served[key]
	delete(s.served, key)
	s.mu.Unlock()
	if ok {
		return s.send(m)
	}
	s.refused.add("a D-Bus reply to no call", m, m.destination, "")
	m.close()
	return nil
}

// send sends a message to the bus that gets no reply.
func (s *session) send(m *message) error {
	s.mu.Lock()
	m.serial = s.next()
	s.mu.Unlock()
	return s.toBus(m)
}

// next returns a serial for a message to the bus that no call in progress has.
func (s *session) next() uint32 {
	for {
		s.serial++
		if _, used := s.pending[s.serial]; s.serial != 0 && !used {
			return s.serial
		}
	}
}

// forward sends a call to the bus, or refuses it if too many are in progress. Then gets the reply; nil passes it to the program.
func (s *session) forward(m *message, then func(*message) error) error {
	_, err := s.tryForward(m, then)
	return err
}

// tryForward does as forward does, and returns whether it sent the call.
func (s *session) tryForward(m *message, then func(*message) error) (sent bool, err error) {
	p := pending{serial: m.serial, destination: m.destination, since: time.Now(), then: then}
	s.mu.Lock()
	full := crowded(s.pending, func(p pending) time.Time { return p.since })
	if !full {
		m.serial = s.next()
		if m.flags&flagNoReply == 0 {
			s.pending[m.serial] = p
		}
	}
	s.mu.Unlock()
	if full {
		defer m.close()
		return false, s.refuse(m, "LimitsExceeded", "%d calls are in progress", maxCalls)
	}
	return true, s.toBus(m)
}

// crowded returns whether a map of calls is full, after it has forgotten old ones.
func crowded[K comparable, V any](calls map[K]V, since func(V) time.Time) bool {
	if len(calls) < maxCalls {
		return false
	}
	for k, v := range calls {
		if time.Since(since(v)) > oldCall {
			delete(calls, k)
		}
	}
	return len(calls) >= maxCalls
}

// answer returns a reply of the bus to a call of the program.
func (s *session) answer(to *message, kind byte) *message {
	return &message{order: to.order, kind: kind, flags: flagNoReply, serial: 1, replySerial: to.serial, sender: busName, destination: s.self()}
}

// refuse answers a call with an error of the bus, unless the caller wants no reply. It does not close the call.
func (s *session) refuse(to *message, name, format string, args ...any) error {
	if to.flags&flagNoReply != 0 {
		return nil
	}
	m := s.answer(to, kindError)
	m.errorName, m.signature = errPrefix+name, "s"
	m.body = appendString(nil, m.order, fmt.Sprintf(format, args...))
	return s.toClient(m)
}
