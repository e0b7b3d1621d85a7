package bus

import (
	"slices"
	"testing"
)

// A ruled is a session whose messages to the bus and to the program are kept.
type ruled struct {
	*session
	toBus    []*message
	toClient []string // the errors of replies
}

func newRuled(t *testing.T) *ruled {
	r := &ruled{}
	r.session = newSession(policyOf("a.b", Talk), nil, func(m *message) error {
		r.toClient = append(r.toClient, m.errorName)
		return nil
	}, func(m *message) error {
		r.toBus = append(r.toBus, m)
		return nil
	})
	r.unique, r.greeted = ":1.5", true
	return r
}

func (r *ruled) match(t *testing.T, member, rule string) {
	t.Helper()
	m := busMessageOf(member)
	m.signature, m.body = "s", appendString(nil, m.order, rule)
	if err := r.fromClient(m); err != nil {
		t.Fatal(err)
	}
}

// answer lets the bus answer the first message that it has got.
func (r *ruled) answer(t *testing.T, kind byte) {
	t.Helper()
	m := r.toBus[0]
	r.toBus = r.toBus[1:]
	if err := r.fromBus(&message{order: littleEndian, kind: kind, serial: 1, replySerial: m.serial, sender: busName, destination: ":1.5", errorName: errPrefix + "NoMemory"}); err != nil {
		t.Fatal(err)
	}
}

func (r *ruled) members() (all []string) {
	for _, m := range r.toBus {
		all = append(all, m.member)
	}
	return all
}

// TestRulesAreCounted checks that a program never removes a rule that the bus did not accept from it: the filter has rules with the same text.
func TestRulesAreCounted(t *testing.T) {
	rule := ownerRules(policyOf("a.b", Talk))[0]
	none := errPrefix + "MatchRuleNotFound"
	t.Run("too many calls", func(t *testing.T) {
		r := newRuled(t)
		for n := range uint32(maxCalls) {
			if err := r.fromClient(&message{order: littleEndian, kind: kindCall, serial: n + 1, path: "/", member: "C", destination: "a.b"}); err != nil {
				t.Fatal(err)
			}
		}
		r.match(t, "AddMatch", rule)
		clear(r.pending)
		r.toBus = nil
		r.match(t, "RemoveMatch", rule)
		if want := []string{errPrefix + "LimitsExceeded", none}; len(r.toBus) > 0 || !slices.Equal(r.toClient, want) || r.added != 0 {
			t.Errorf("got %v and %v, want %v", r.members(), r.toClient, want)
		}
	})
	t.Run("refused by the bus", func(t *testing.T) {
		r := newRuled(t)
		r.match(t, "AddMatch", rule)
		r.match(t, "RemoveMatch", rule)
		r.match(t, "RemoveMatch", rule)
		r.answer(t, kindError)
		if want := []string{none, none, errPrefix + "NoMemory"}; len(r.toBus) > 0 || !slices.Equal(r.toClient, want) || len(r.rules) > 0 {
			t.Errorf("got %v and %v, want %v", r.members(), r.toClient, want)
		}
	})
	t.Run("accepted", func(t *testing.T) {
		r := newRuled(t)
		r.match(t, "AddMatch", rule)
		r.match(t, "AddMatch", rule)
		r.match(t, "RemoveMatch", rule)
		if want := []string{"AddMatch", "AddMatch"}; !slices.Equal(r.members(), want) {
			t.Errorf("got %v, want %v", r.members(), want)
		}
		r.answer(t, kindReply)
		r.answer(t, kindReply)
		r.match(t, "RemoveMatch", rule)
		r.match(t, "RemoveMatch", rule)
		if want := []string{"RemoveMatch", "RemoveMatch"}; !slices.Equal(r.members(), want) || r.added != 0 || len(r.rules) > 0 {
			t.Errorf("got %v, want %v; %d rules", r.members(), want, r.added)
		}
	})
}
