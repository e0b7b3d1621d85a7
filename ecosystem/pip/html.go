package pip

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/internal/lazyregexp"
)

const maxToken = 1 << 20 // bytes of one tag

// A link is an anchor of an index in HTML (PEP 503).
type link struct {
	text  string
	attrs map[string]string
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// readHTML reads an index as pip does. It refuses pages for people: those with forms or scripts, and those with links of which none leads to a file of the project.
func (p *page) readHTML(base string, body []byte) error {
	at, err := url.Parse(base)
	if err != nil {
		return err
	}
	z := html.NewTokenizer(bytes.NewReader(body))
	z.SetMaxBuf(maxToken)
	var open *link
	based, isIndex, anchors := false, false, 0
	finish := func() {
		if open != nil {
			p.add(at, based, open)
		}
		open = nil
	}
	for {
		switch z.Next() {
		case html.ErrorToken:
			finish()
			if anchors > 0 && len(p.files) == 0 && !isIndex {
				return errors.New("it is a page whose links lead to no files, and no index (PEP 503)")
			}
			return nil
		case html.TextToken:
			if open != nil {
				open.text += string(z.Text())
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			attrs := map[string]string{}
			for _, a := range t.Attr {
				if _, twice := attrs[a.Key]; !twice {
					attrs[a.Key] = a.Val
				}
			}
			switch t.Data {
			case "a":
				finish()
				anchors++
				open = &link{attrs: attrs}
			case "base":
				if target, err := at.Parse(attrs["href"]); err == nil && attrs["href"] != "" && !based {
					at, based = target, true
				}
			case "meta":
				isIndex = isIndex || attrs["name"] == "pypi:repository-version"
			case "form", "script", "input", "iframe":
				return errors.New("it is a page for people, and no index (PEP 503)")
			}
		case html.EndTagToken:
			if name, _ := z.TagName(); string(name) == "a" {
				finish()
			}
		}
	}
}

// add notes a link if it leads to a file. The name of the file is the end of the address (pip), and not the text.
func (p *page) add(at *url.URL, based bool, l *link) {
	u, err := at.Parse(strings.TrimSpace(l.attrs["href"]))
	if err != nil || l.attrs["href"] == "" {
		return
	}
	name := baseOf(ecosystem.Request{Path: u.EscapedPath()})
	if _, _, ok := split(name, ""); !ok {
		return
	}
	if based { // the edited page has no base of its own
		l.attrs["href"] = u.String()
	}
	e := entry{name: name, address: l.attrs["href"]}
	for _, key := range []string{"data-core-metadata", "data-dist-info-metadata"} {
		value, there := l.attrs[key]
		if !there {
			continue
		}
		raw := json.RawMessage("true")
		if algorithm, digest, ok := strings.Cut(value, "="); ok {
			if text, err := json.Marshal(map[string]string{algorithm: digest}); err == nil {
				raw = text
			}
		}
		e.metadata = append(e.metadata, raw)
	}
	if why, yanked := l.attrs["data-yanked"]; yanked {
		e.notice = ecosystem.NoticeOf(ecosystem.Yanked, why)
	}
	p.files, p.links = append(p.files, e), append(p.links, *l)
}

// dataName matches the attributes that indexes may have beside href.
var dataName = lazyregexp.New(`^data-[a-z0-9-]+$`)

// leanLink are the attributes that pip and uv read.
var leanLink = []string{"href", "data-requires-python", "data-core-metadata", "data-dist-info-metadata", "data-yanked"}

// writeHTML writes the edited index, one file on each line.
func (p *page) writeHTML(base *url.URL, keep []bool, e *ecosystem.Edit) []byte {
	var b bytes.Buffer
	b.WriteString("<!DOCTYPE html>\n<html><head><meta name=\"pypi:repository-version\" content=\"1.0\"><title>Links for " + html.EscapeString(p.project) + "</title></head><body>\n")
	for i, l := range p.links {
		if !keep[i] {
			continue
		}
		b.WriteString("<a")
		for _, name := range sortedKeys(l.attrs) {
			value := l.attrs[name]
			if !slices.Contains(leanLink, name) && (e.Lean || !dataName().MatchString(name)) {
				continue
			}
			if name == "href" && e.Address != nil {
				value = newAddress(base, value, e.Address)
			}
			b.WriteString(" " + name + `="` + html.EscapeString(value) + `"`)
		}
		b.WriteString(">" + html.EscapeString(p.files[i].name) + "</a><br>\n")
	}
	b.WriteString("</body></html>\n")
	return b.Bytes()
}
