package fhs

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"
)

// maxDepth bounds the folders above a link of an alternative, which are made if they are not there.
const maxDepth = 30

// maxAlternatives bounds the alternatives of one environment.
const maxAlternatives = 100_000

// An alternative is one choice for a link that several packages can provide (update-alternatives(1)). Paths are those in the tree.
type alternative struct {
	name     string // of the group
	link, to string
	priority int
	slaves   []slave // links that follow the choice
}

type slave struct{ link, to string }

// alternatives adds the links of update-alternatives, straight to their targets. In each group the choice of the highest priority wins, and of
// several the one whose target sorts first, as update-alternatives chooses. A choice whose target is not in the tree is none, and a link
// where a package has a file is not made: update-alternatives does the same.
func alternatives(c *composition) error {
	groups := map[string][]alternative{}
	n := 0
	for _, d := range c.debs {
		script, err := c.controlFile(d, "postinst")
		if err != nil {
			return err
		}
		for _, words := range commands(script, "update-alternatives") {
			a, ok := parseAlternative(words)
			if _, there := c.find(a.to); ok && there && n < maxAlternatives {
				groups[a.name] = append(groups[a.name], a)
				n++
			}
		}
	}
	java, err := c.javaAlternatives()
	if err != nil {
		return err
	}
	for _, a := range java {
		if _, there := c.find(a.to); there && n < maxAlternatives {
			groups[a.name] = append(groups[a.name], a)
			n++
		}
	}
	names := make([]string, 0, len(groups))
	for name := range groups {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		best := slices.MinFunc(groups[name], func(a, b alternative) int {
			return cmp.Or(cmp.Compare(b.priority, a.priority), strings.Compare(a.to, b.to), strings.Compare(a.link, b.link))
		})
		c.link(best.link, best.to)
		for _, s := range best.slaves {
			if _, there := c.find(s.to); there {
				c.link(s.link, s.to)
			}
		}
	}
	return nil
}

// parseAlternative reads the words of an `update-alternatives --install LINK NAME PATH PRIORITY [--slave LINK NAME PATH]...`.
func parseAlternative(words []string) (a alternative, ok bool) {
	at := slices.Index(words, "--install")
	if at < 0 || len(words) < at+5 {
		return a, false
	}
	priority, err := strconv.Atoi(words[at+4])
	link, linkOK := placeOf(words[at+1])
	to, toOK := placeOf(words[at+3])
	if err != nil || !linkOK || !toOK || words[at+2] == "" || strings.Contains(words[at+2], "/") {
		return a, false
	}
	a = alternative{name: words[at+2], link: link, to: to, priority: priority}
	for i := at + 5; i+3 < len(words); i++ {
		if words[i] != "--slave" {
			continue
		}
		link, linkOK := placeOf(words[i+1])
		to, toOK := placeOf(words[i+3])
		if linkOK && toOK {
			a.slaves = append(a.slaves, slave{link, to})
		}
		i += 3
	}
	return a, true
}

// placeOf returns the path in the tree of an absolute path in a script. It reports false for a path that is not below usr or etc after
// folding: links elsewhere would be outside of what an environment is, and no package has any.
func placeOf(text string) (string, bool) {
	if !strings.HasPrefix(text, "/") || path.Clean(text) != text || len(text) > maxTarget || strings.ContainsAny(text, "\x00\n") {
		return "", false
	}
	at := fold(text[1:])
	head, rest := first(at)
	if strings.Count(at, "/") > maxDepth {
		return "", false
	}
	return at, rest != "" && (head == "usr" || head == "etc")
}

// javaAlternatives reads the files .*.jinfo, in which Java's packages list the programs that their scripts make alternatives of in a loop
// (update-java-alternatives(8)).
func (c *composition) javaAlternatives() (all []alternative, err error) {
	const folder = "usr/lib/jvm/"
	var files []string
	for at := range c.places {
		if name, ok := strings.CutPrefix(at, folder); ok && strings.HasPrefix(name, ".") && strings.HasSuffix(name, ".jinfo") && !strings.Contains(name, "/") {
			files = append(files, at)
		}
	}
	slices.Sort(files)
	for _, at := range files {
		text, there, err := c.text(at)
		if err != nil {
			return nil, err
		}
		if there {
			all = append(all, parseJinfo(string(text))...)
		}
	}
	return all, nil
}

func parseJinfo(text string) (all []alternative) {
	priority := 0
	for line := range strings.Lines(text) {
		if number, ok := strings.CutPrefix(strings.TrimSpace(line), "priority="); ok {
			priority, _ = strconv.Atoi(number) //nolint:errcheck // none is 0
		}
		words := strings.Fields(line)
		if len(words) != 3 || len(all) >= maxCommands || !slices.Contains([]string{"hl", "jre", "jdk", "jdkhl", "plugin"}, words[0]) {
			continue
		}
		name := words[1]
		to, ok := placeOf(words[2])
		link, linkOK := placeOf("/usr/bin/" + name)
		if !ok || !linkOK || strings.Contains(name, "/") {
			continue
		}
		a := alternative{name: name, link: link, to: to, priority: priority}
		home := path.Dir(path.Dir(to))
		for _, section := range []string{"man1", "ja/man1"} {
			a.slaves = append(a.slaves, slave{"usr/share/man/" + section + "/" + name + ".1.gz", home + "/man/" + section + "/" + name + ".1.gz"})
		}
		all = append(all, a)
	}
	return all
}
