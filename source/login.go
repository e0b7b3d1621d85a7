package source

import (
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/MordragT/nuka/protocol"
)

// A Login is a netrc file's entry for a host.
type Login struct {
	Host     string `json:"host"` // "" matches any other host
	User     string `json:"user"`
	Password string `json:"password"`
}

// netrc reads the user's netrc file.
func (c *Client) netrc() []Login {
	for _, file := range []string{c.env("NETRC"), c.home(".netrc"), c.home("_netrc")} {
		if file == "" {
			continue
		}
		if content, err := os.ReadFile(file); err == nil {
			return parseNetrc(string(content))
		}
	}
	return nil
}

// parseNetrc reads a netrc file as ftp(1) describes it: words, which may be quoted; a macro ends with an empty line.
func parseNetrc(text string) (logins []Login) {
	var now *Login
	words := netrcWords(text)
	for i := 0; i < len(words); i++ {
		value := func() string {
			if i+1 < len(words) {
				i++
				return words[i]
			}
			return ""
		}
		switch words[i] {
		case "machine":
			logins = append(logins, Login{Host: value()})
			now = &logins[len(logins)-1]
		case "default":
			logins = append(logins, Login{})
			now = &logins[len(logins)-1]
		case "login", "user":
			if v := value(); now != nil {
				now.User = v
			}
		case "password":
			if v := value(); now != nil {
				now.Password = v
			}
		case "account":
			value()
		}
	}
	return logins
}

// netrcWords splits a netrc file into words, without comments and macros.
func netrcWords(text string) (words []string) {
	macro := false
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		line = strings.TrimSpace(line)
		if macro = macro && line != ""; macro {
			continue
		}
		for line != "" {
			word, rest := "", ""
			if line[0] == '"' {
				word, rest = netrcQuoted(line[1:])
			} else if end := strings.IndexAny(line, " \t"); end >= 0 {
				word, rest = line[:end], line[end:]
			} else {
				word = line
			}
			password := len(words) > 0 && (words[len(words)-1] == "password" || words[len(words)-1] == "login")
			if strings.HasPrefix(word, "#") && !password {
				break
			}
			if word == "macdef" && !password {
				macro = true
				break
			}
			words = append(words, word)
			line = strings.TrimLeft(rest, " \t")
		}
	}
	return words
}

func netrcQuoted(text string) (word, rest string) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '"':
			return b.String(), text[i+1:]
		case text[i] == '\\' && i+1 < len(text):
			i++
		}
		b.WriteByte(text[i])
	}
	return b.String(), ""
}

// withLogin removes a name and a password from a place's address. If the address has none, it adds the user's credentials for the host.
func (r *Registries) withLogin(p place) (place, error) {
	u, err := url.Parse(p.url)
	if err != nil {
		return p, protocol.Errorf(protocol.Invalid, "an invalid address: %v", shownError(err))
	}
	if u.User != nil {
		password, _ := u.User.Password()
		p.header = addHeader(p.header, basicAuth(u.User.Username(), password))
		u.User = nil
		p.url = u.String()
		return p, nil
	}
	if p.header.Get("Authorization") != "" {
		return p, nil
	}
	i := slices.IndexFunc(r.Logins, func(l Login) bool { return l.Host == u.Hostname() || l.Host == u.Host })
	if i < 0 {
		i = slices.IndexFunc(r.Logins, func(l Login) bool { return l.Host == "" })
	}
	if i >= 0 && (r.Logins[i].User != "" || r.Logins[i].Password != "") {
		p.header = addHeader(p.header, basicAuth(r.Logins[i].User, r.Logins[i].Password))
	}
	return p, nil
}

func addHeader(to, more http.Header) http.Header {
	if to = to.Clone(); to == nil {
		to = http.Header{}
	}
	for name, values := range more {
		to[name] = values
	}
	return to
}

// shownError removes the address, which may contain a password, from an error of net/url.
func shownError(err error) error {
	if u, ok := err.(*url.Error); ok { //nolint:errorlint // url.Parse returns it as it is
		return u.Err
	}
	return err
}

// sameHost reports whether two addresses belong to the same server, so that both may receive the same credentials.
func sameHost(a, b string) bool {
	ua, err := url.Parse(a)
	if err != nil {
		return false
	}
	ub, err := url.Parse(b)
	return err == nil && ua.Scheme == ub.Scheme && ua.Host == ub.Host
}
