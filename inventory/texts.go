package inventory

import (
	"bytes"
	"encoding/json"
	"net/mail"
	"strings"
	"unicode/utf8"
)

// metadata reads the core metadata of a Python distribution: the header of METADATA or PKG-INFO (PEP 566, PEP 639).
func (c *content) metadata(text []byte) {
	if head, _, ok := bytes.Cut(text, []byte("\n\n")); ok {
		text = append(head, "\n\n"...)
	} else {
		text = append(text, "\n\n"...)
	}
	m, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		return
	}
	license := m.Header.Get("License-Expression")
	if license == "" {
		license = m.Header.Get("License")
	}
	if license == "" || len(license) > 100 || strings.ContainsAny(license, "\r\n") { // some have the whole text
		license = ""
		for _, class := range m.Header["Classifier"] {
			if rest, ok := strings.CutPrefix(class, "License ::"); ok {
				license = strings.TrimSpace(rest[strings.LastIndex(rest, "::")+1:])
				license = strings.TrimSpace(strings.TrimPrefix(license, ":"))
			}
		}
	}
	c.found("pypi", clean(m.Header.Get("Name")), clean(m.Header.Get("Version")), clean(license))
}

// packageJSON reads the package.json of an npm package.
func (c *content) packageJSON(text []byte) {
	var p struct {
		Name, Version string
		License       json.RawMessage
	}
	if json.Unmarshal(text, &p) != nil || p.Version == "" { // folders of a package may have one without
		return
	}
	var license string
	var old struct{ Type string }
	if json.Unmarshal(p.License, &license) != nil && json.Unmarshal(p.License, &old) == nil {
		license = old.Type
	}
	c.found("npm", clean(p.Name), clean(p.Version), clean(license))
}

// clean returns text without control characters, "" if it is not UTF-8.
func clean(s string) string {
	if !utf8.ValidString(s) {
		return ""
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s))
}
