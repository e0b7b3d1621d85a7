package bus

import (
	"bytes"
	"strings"
)

// A rule counts one match rule of a program. The filter has rules of its own on the same connection, by which it learns who owns a name, and the bus
// counts equal rules. So a program may remove a rule only as often as the bus accepted it from the program: else it would remove the filter's,
// and reach peers that own the name no more.
type rule struct {
	added   int        // accepted by the bus
	asked   int        // sent to the bus, without an answer
	waiting []*message // removals that wait for the answers; not more than asked
}

// addMatch passes a match rule. A rule that eavesdrops would show the program the messages of others; no other rule has that word as a key.
func (s *session) addMatch(m *message, text string) error {
	if strings.Contains(text, "eavesdrop") {
		defer m.close()
		s.refused.add("a match rule that eavesdrops", m, busName, "")
		return s.refuse(m, "AccessDenied", "no sandboxed program may eavesdrop")
	}
	s.mu.Lock()
	full := len(text) > maxRule || s.added >= maxRules
	if !full {
		if s.rules[text] == nil {
			s.rules[text] = &rule{}
		}
		s.rules[text].asked++
		s.added++
	}
	s.mu.Unlock()
	if full {
		defer m.close()
		return s.refuse(m, "LimitsExceeded", "the program has %d match rules, or this one is longer than %d bytes", maxRules, maxRule)
	}
	quiet := m.flags&flagNoReply != 0
	m.flags &^= flagNoReply // the filter must learn whether the bus accepted the rule
	sent, err := s.tryForward(m, func(r *message) error {
		if err := s.answered(text, r.kind == kindReply); err != nil || quiet {
			r.close()
			return err
		}
		return s.toClient(r)
	})
	if !sent && err == nil {
		err = s.answered(text, false)
	}
	return err
}

// answered notes whether the bus accepted a rule, and decides about a removal that waited for it.
func (s *session) answered(text string, accepted bool) error {
	s.mu.Lock()
	r := s.rules[text]
	r.asked--
	var m *message
	if len(r.waiting) > r.asked || accepted && len(r.waiting) > 0 {
		m, r.waiting = r.waiting[0], r.waiting[1:]
	}
	if accepted && m == nil {
		r.added++
	} else {
		s.added--
	}
	s.forget(text)
	s.mu.Unlock()
	switch {
	case m == nil:
		return nil
	case accepted:
		return s.forward(m, nil)
	}
	return s.refuse(m, "MatchRuleNotFound", "the bus refused this match rule")
}

// removeMatch passes the removal of a rule that the program added.
func (s *session) removeMatch(m *message, text string) error {
	s.mu.Lock()
	r := s.rules[text]
	known, wait := r != nil, false
	switch {
	case !known:
	case r.added > 0:
		r.added--
		s.added--
		s.forget(text)
	case r.asked > len(r.waiting):
		wait = true
		m.close()                    // it has no descriptors
		m.body = bytes.Clone(m.body) // without the header, which may be large
		r.waiting = append(r.waiting, m)
	default:
		known = false
	}
	s.mu.Unlock()
	switch {
	case wait:
		return nil
	case known:
		return s.forward(m, nil)
	}
	defer m.close()
	return s.refuse(m, "MatchRuleNotFound", "the program added no such match rule")
}

// forget removes a rule of which nothing is left. The caller holds the lock.
func (s *session) forget(text string) {
	if r := s.rules[text]; r.added == 0 && r.asked == 0 {
		delete(s.rules, text)
	}
}
