package fhs

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/MordragT/nuka/protocol"
)

// A step computes derived data from the files of the tree.
type step struct {
	name string
	run  func(*composition) error
}

// steps are the derived data of the layout fhs-1, in the order in which they are made: a path that one has made is taken for the next ones.
// Each names its source, the script whose effect it has.
var steps = []step{
	{"alternatives: the postinst of each package, and the .jinfo files of Java", alternatives},
	{"accounts: base-passwd.postinst", accounts},
	{"defaults: the postinst of base-files, libc-bin, readline-common, python3", defaults},
	{"network: netbase.postinst", network},
	{"shells: update-shells(8) of debianutils", shells},
	{"time: tzdata.postinst with the zone Etc/UTC", localtime},
	{"folders: base-files.postinst", folders},
	{"certificates: update-ca-certificates(8), and openssl-rehash(1)", certificates},
	{"java certificates: ca-certificates-java.postinst", javaCertificates},
	{"programs: what only programs can make", programs},
}

// masters are the files that scripts copy if they do not exist.
var masters = []struct{ from, to string }{
	{"usr/share/libc-bin/nsswitch.conf", "etc/nsswitch.conf"},
	{"usr/share/base-files/nsswitch.conf", "etc/nsswitch.conf"},
	{"usr/share/base-files/profile", "etc/profile"},
	{"usr/share/base-files/motd", "etc/motd"},
	{"usr/share/base-files/info.dir", "usr/share/info/dir"},
	{"usr/share/readline/inputrc", "etc/inputrc"},
}

func defaults(c *composition) error {
	for _, m := range masters {
		c.copyOf(m.from, m.to)
	}
	if c.has("python3") {
		c.derive("etc/python3/debian_config", Entry{Kind: File, Data: []byte("[DEFAULT]\n# how to byte-compile (comma separated: standard, optimize)\nbyte-compile = standard\n")})
	}
	if p := c.places["etc/dpkg/origins/debian"]; p.Entry != nil && p.Kind == File {
		c.link("etc/dpkg/origins/default", "etc/dpkg/origins/debian")
	}
	return nil
}

// An account is a user or a group that the script of a package adds. Its number is fixed here, so that an environment's numbers do not depend on
// the other packages in it; adduser(8) takes the next free one.
type account struct {
	pkg  string // by whose script
	line string // of passwd(5) or group(5)
}

var (
	users  = []account{{"dbus", "messagebus:*:980:980::/nonexistent:/usr/sbin/nologin"}}
	groups = []account{{"dbus", "messagebus:*:980:"}, {"libibverbs1", "rdma:*:981:"}, {"openssh-client", "_ssh:*:982:"}}
)

// accounts makes passwd and group of the masters of base-passwd and the accounts that other packages add.
func accounts(c *composition) error {
	for _, f := range []struct {
		name   string
		fields int
		add    []account
	}{{"passwd", 7, users}, {"group", 4, groups}} {
		master := "usr/share/base-passwd/" + f.name + ".master"
		text, there, err := c.text(master)
		if err != nil {
			return err
		}
		if !there {
			continue
		}
		if err := checkAccounts(text, f.fields); err != nil {
			return protocol.Errorf(protocol.Invalid, "environment: %s: %w", master, err).WithHint("leave it out: the field merge")
		}
		var more []byte
		for _, a := range f.add {
			if c.has(a.pkg) && !bytes.Contains(text, []byte("\n"+a.line[:strings.Index(a.line, ":")+1])) {
				more = fmt.Appendln(more, a.line)
			}
		}
		if len(more) == 0 {
			c.copyOf(master, "etc/"+f.name)
			continue
		}
		c.derive("etc/"+f.name, Entry{Kind: File, Data: slices.Concat(text, more)})
	}
	return nil
}

// checkAccounts checks that each line has so many fields, and only printable characters.
func checkAccounts(text []byte, fields int) error {
	if len(text) == 0 || text[len(text)-1] != '\n' {
		return fmt.Errorf("the last line has no end")
	}
	for line := range bytes.Lines(text) {
		line = line[:len(line)-1]
		if bytes.Count(line, []byte(":")) != fields-1 || bytes.HasPrefix(line, []byte(":")) {
			return fmt.Errorf("the line %.100q has not %d fields", line, fields)
		}
		if bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("the line %.100q has control characters", line)
		}
	}
	return nil
}

// network makes the files of netbase, which its script has as text.
func network(c *composition) error {
	if !c.has("netbase") {
		return nil
	}
	c.derive("etc/hosts", Entry{Kind: File, Data: []byte("127.0.0.1\tlocalhost\n::1\t\tlocalhost ip6-localhost ip6-loopback\nff02::1\t\tip6-allnodes\nff02::2\t\tip6-allrouters\n\n")})
	c.derive("etc/networks", Entry{Kind: File, Data: []byte("default\t\t0.0.0.0\nloopback\t127.0.0.0\nlink-local\t169.254.0.0\n\n")})
	return nil
}

// shells lists the login shells of the packages, each also by the folder that its link leads to.
func shells(c *composition) error {
	const template, more = "usr/share/debianutils/shells", "usr/share/debianutils/shells.d"
	text, there, err := c.text(template)
	if err != nil || !there {
		return err
	}
	files := []string{template}
	for at := range c.places {
		if name, below := strings.CutPrefix(at, more+"/"); below && !strings.Contains(name, "/") {
			files = append(files, at)
		}
	}
	slices.Sort(files)
	listed := map[string]bool{}
	var out []byte
	for line := range bytes.Lines(text) {
		shell, _, _ := strings.Cut(strings.TrimSpace(string(line)), "#")
		if shell == "" || !listed[shell] {
			out = fmt.Appendln(out, strings.TrimRight(string(line), "\n"))
		}
		listed[shell] = true
	}
	for _, at := range files {
		text, _, err := c.text(at)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(text) {
			shell, _, _ := strings.Cut(string(line), "#")
			if shell = strings.TrimSpace(shell); !strings.HasPrefix(shell, "/") {
				continue
			}
			names := []string{shell}
			if dir, ok := c.find(strings.TrimPrefix(path.Dir(shell), "/")); ok {
				names = append(names, "/"+dir+"/"+path.Base(shell))
			}
			for _, name := range names {
				if !listed[name] {
					out = fmt.Appendln(out, name)
				}
				listed[name] = true
			}
		}
	}
	c.derive("etc/shells", Entry{Kind: File, Data: out})
	return nil
}

func localtime(c *composition) error {
	if p := c.places["usr/share/zoneinfo/Etc/UTC"]; p.Entry != nil {
		c.link("etc/localtime", "usr/share/zoneinfo/Etc/UTC")
		c.derive("etc/timezone", Entry{Kind: File, Data: []byte("Etc/UTC\n")})
	}
	return nil
}

// folders makes the folders and links of var, and removes the folders that the links replace.
func folders(c *composition) error {
	if !c.has("base-files") {
		return nil
	}
	for _, l := range []struct{ at, to string }{{"var/run", "run"}, {"var/lock", "run/lock"}, {"var/spool/mail", "var/mail"}} {
		if p := c.places[l.at]; p.Entry != nil && p.Kind == Dir && !c.anyBelow(l.at) {
			delete(c.places, l.at)
		}
		c.link(l.at, l.to)
	}
	for _, at := range []string{"var/opt", "var/mail", "etc/opt"} {
		c.derive(at, Entry{Kind: Dir})
	}
	return nil
}

// anyBelow reports whether the tree has anything below a folder.
func (c *composition) anyBelow(dir string) bool {
	if c.places[dir].Entry == nil {
		return false
	}
	for at := range c.places {
		if len(at) > len(dir) && at[len(dir)] == '/' && at[:len(dir)] == dir {
			return true
		}
	}
	return false
}

// programs notes the files that scripts make with programs of the tree, which no step makes: programs read them for speed, or to show more.
func programs(c *composition) error {
	for _, p := range []struct{ needs, makes, with string }{
		{"usr/share/mime/packages", "usr/share/mime/mime.cache", "update-mime-database"},
		{"usr/share/glib-2.0/schemas", "usr/share/glib-2.0/schemas/gschemas.compiled", "glib-compile-schemas"},
		{"usr/lib/x86_64-linux-gnu/gdk-pixbuf-2.0/2.10.0/loaders", "usr/lib/x86_64-linux-gnu/gdk-pixbuf-2.0/2.10.0/loaders.cache", "gdk-pixbuf-query-loaders"},
		{"usr/lib/x86_64-linux-gnu/gio/modules", "usr/lib/x86_64-linux-gnu/gio/modules/giomodule.cache", "gio-querymodules"},
	} {
		if c.places[p.makes].Entry == nil && c.anyBelow(p.needs) {
			c.notes = append(c.notes, fmt.Sprintf("the environment has no %s: only the program %s makes it", p.makes, p.with))
		}
	}
	return nil
}
