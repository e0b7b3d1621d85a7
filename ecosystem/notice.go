package ecosystem

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"unicode"

	"github.com/MordragT/nuka/pir"
)

// The classes of notices. They are no vulnerabilities.
const (
	Yanked     = "yanked"     // its author took the release back: PyPI (PEP 592), crates
	Retracted  = "retracted"  // the same: Go
	Deprecated = "deprecated" // its author advises against it: npm, Go
)

const maxNotice = 300 // runes

// NoticeOf returns the text of a notice: its class and, behind a colon and a blank, what the author says about it, on one line.
func NoticeOf(class, says string) string {
	says = strings.Join(strings.FieldsFunc(says, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	if r := []rune(strings.ToValidUTF8(says, "")); len(r) > maxNotice {
		says = string(r[:maxNotice]) + "…"
	}
	if says == "" {
		return class
	}
	return class + ": " + says
}

// SplitNotice returns the class of a notice, and what its author says. ok is false for a text that is no notice.
func SplitNotice(text string) (class, says string, ok bool) {
	class, says, _ = strings.Cut(text, ": ")
	return class, says, class == Yanked || class == Retracted || class == Deprecated
}

// An Adviser is an Adapter whose registry says in answers to other questions that nobody should use a version any more. A client need not ask them.
type Adviser interface {
	// Advise returns the next question about the file that r asks for, with the answers to those before it; more is false when it has what it needs, and then notice
	// is what the registry says.
	Advise(r Request, answers [][]byte) (question Request, notice string, more bool)
}

// A Noticer is an Adapter that finds notices in answers that are no indexes: go.mod files, which retract versions of their own module.
type Noticer interface {
	// Notices returns what the answer to r says about version, of the package name that it is about; "" is nothing. Notices of a later version count for earlier ones.
	Notices(r Request, body []byte) (name string, about func(version string) string, ok bool)
}

// maxAdvice bounds the questions about one file.
const maxAdvice = 4

// ahead begins to ask what else registries say of a file: whether anybody should use its version still, which the recording waits for, and what check will ask, which the
// client waits for. The caller calls end when it needs no answer for check any more.
func (rec *Recorder) ahead(ctx context.Context, q Request, from http.Header, known *about) (end func()) {
	if adviser, ok := rec.o.Adapter.(Adviser); ok && known.desc != nil {
		known.notice = rec.later(ctx, adviser, q, from)
	}
	if _, ok := rec.o.Adapter.(Checker); !ok {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var g sync.WaitGroup
	var promised []pir.Hash
	for _, f := range known.all() {
		promised = append(promised, f.Promised)
	}
	g.Go(func() { _, _ = rec.check(ctx, from, q, known, promised) }) // again when the bytes are there: then its answers are, too
	return func() {
		cancel()
		g.Wait()
	}
}

// maxAdvising bounds the files that notices are asked for at a time.
const maxAdvising = 16

// later asks for the notice of a file, also when the client has gone on, and returns a function that waits for it.
func (rec *Recorder) later(ctx context.Context, adviser Adviser, q Request, from http.Header) func() string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rec.o.Limits.Whole)
	from = from.Clone()
	var notice string
	done := make(chan struct{})
	go func() {
		defer cancel()
		defer close(done)
		rec.advising <- struct{}{}
		defer func() { <-rec.advising }()
		notice = rec.advice(ctx, adviser, q, from)
	}()
	return func() string {
		<-done
		return notice
	}
}

// advice returns what the registry says against a version. One that does not answer says nothing.
func (rec *Recorder) advice(ctx context.Context, adviser Adviser, q Request, from http.Header) string {
	var answers [][]byte
	for range maxAdvice {
		question, notice, more := adviser.Advise(q, answers)
		if !more {
			return notice
		}
		text := rec.aside(ctx, question, from)
		if text == nil {
			return ""
		}
		answers = append(answers, text)
	}
	return ""
}
