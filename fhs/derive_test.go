package fhs

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/protocol"
)

func TestAlternatives(t *testing.T) {
	s := shelf{}
	const blas = "/usr/lib/x/libblas.so.3 libblas.so.3-x /usr/lib/x"
	s.want(t, map[string]string{
		"bin": "-> usr/bin", "sbin": "-> usr/sbin", "lib": "-> usr/lib",
		"usr/bin/mawk": "m", "usr/bin/gawk": "g", "usr/bin/awk": "-> gawk", "usr/share/man/man1/gawk.1.gz": "gm", "usr/share/man/man1/awk.1.gz": "-> gawk.1.gz", "usr/share/man/man1/mawk.1.gz": "mm",
		"usr/lib/x/blas/libblas.so.3": "slow", "usr/lib/x/openblas/libblas.so.3": "fast", "usr/lib/x/libblas.so.3": "-> openblas/libblas.so.3",
		"usr/lib/x/openblas/libopenblas.so.0": "fast", "usr/lib/x/libopenblas.so.0": "-> openblas/libopenblas.so.0",
		"usr/sbin/rmt-tar": "r", "usr/sbin/rmt": "-> rmt-tar", "usr/bin/w.procps": "w", "usr/bin/w": "-> w.procps", "usr/bin/taken": "a file", "usr/bin/first": "1", "usr/bin/second": "2",
		"usr/bin/tie": "-> first", "usr/lib/jvm/.java.jinfo": jinfo, "usr/lib/jvm/j/bin/java": "j", "usr/bin/java": "-> ../lib/jvm/j/bin/java", "usr/lib/jvm/j/man/man1/java.1.gz": "jm",
		"usr/share/man/man1/java.1.gz": "-> ../../../lib/jvm/j/man/man1/java.1.gz",
	},
		s.deb("mawk", map[string]string{"usr/bin/mawk": "m", "usr/share/man/man1/mawk.1.gz": "mm", "DEBIAN/postinst": "#!/bin/sh\n# update-alternatives --install /usr/bin/no no /usr/bin/mawk 9\n" +
			"update-alternatives --quiet \\\n    --install /usr/bin/awk awk /usr/bin/mawk 5 \\\n    --slave /usr/share/man/man1/awk.1.gz awk.1.gz /usr/share/man/man1/mawk.1.gz || true\n"}),
		s.deb("gawk", map[string]string{"usr/bin/gawk": "g", "usr/share/man/man1/gawk.1.gz": "gm", "DEBIAN/postinst": "if [ \"$1\" = configure ]; then update-alternatives --install \"/usr/bin/awk\" 'awk' /usr/bin/gawk 10 " +
			"--slave /usr/share/man/man1/awk.1.gz awk.1.gz /usr/share/man/man1/gawk.1.gz --slave /usr/share/man/man1/nawk.1.gz nawk.1.gz /usr/share/man/man1/absent.1.gz; fi\n"}),
		s.deb("libblas3", map[string]string{"usr/lib/x/blas/libblas.so.3": "slow", "DEBIAN/postinst": "update-alternatives --install " + blas + "/blas/libblas.so.3 10\n"}),
		s.deb("openblas", map[string]string{"usr/lib/x/openblas/libblas.so.3": "fast", "usr/lib/x/openblas/libopenblas.so.0": "fast", "DEBIAN/postinst": "update-alternatives --install " + blas + "/openblas/libblas.so.3 100\n" +
			"update-alternatives --install /usr/lib/x/libopenblas.so.0 libopenblas.so.0-x /usr/lib/x/openblas/libopenblas.so.0 100\n"}),
		// Folded paths; a variable with one value; one that has two; a loop; a target that is not there; a link where a file is.
		s.deb("tar", map[string]string{"sbin/rmt-tar": "r", "DEBIAN/postinst": "update-alternatives --install /sbin/rmt rmt /sbin/rmt-tar 50\n"}),
		s.deb("procps", map[string]string{"bin/w.procps": "w", "usr/bin/taken": "a file", "DEBIAN/postinst": "DIR=/usr/bin\nx=1\nx=2\nupdate-alternatives --install $DIR/w w ${DIR}/w.procps 50\n" +
			"update-alternatives --install /usr/bin/x x /usr/bin/w.procps $x\nfor i in a b; do\n update-alternatives --install /usr/bin/$i $i /usr/bin/w.procps 1; update-alternatives --install /usr/bin/y$i y /usr/bin/w.procps 1\n update-alternatives --install /usr/bin/z$i z /usr/bin/w.procps 1\ndone\n" +
			"update-alternatives --install /usr/bin/gone gone /usr/bin/nothing 50\nupdate-alternatives --install /usr/bin/taken taken /usr/bin/w.procps 50\n"}),
		s.deb("ties", map[string]string{"usr/bin/first": "1", "usr/bin/second": "2", "DEBIAN/postinst": "test -e x && update-alternatives --install /usr/bin/tie tie /usr/bin/second 3 >/dev/null 2>&1; update-alternatives --install /usr/bin/tie tie /usr/bin/first 3\n"}),
		s.deb("jre", map[string]string{"usr/lib/jvm/.java.jinfo": jinfo, "usr/lib/jvm/j/bin/java": "j", "usr/lib/jvm/j/man/man1/java.1.gz": "jm"}),
	)
}

const jinfo = "name=j\nalias=a\npriority=1711\nsection=main\n\nhl java /usr/lib/jvm/j/bin/java\njre gone /usr/lib/jvm/j/bin/gone\nhl ../x /usr/lib/jvm/j/bin/java\nodd java2 /usr/lib/jvm/j/bin/java\n"

// TestHostileAlternatives has scripts whose links would lie outside of usr and etc, above the root, or through files and links of packages.
func TestHostileAlternatives(t *testing.T) {
	s := shelf{}
	files := map[string]string{"usr/bin/real": "r", "usr/bin/link": "-> /etc", "etc/passwd": "p", "usr/loop": "-> loop", "usr/a": "-> b", "usr/b": "-> a"}
	want := maps.Clone(files)
	want["usr/bin/link"], want["bin"], want["usr/loop"] = "-> ../../etc", "-> usr/bin", "-> loop"
	for _, line := range []string{
		"/../../x x /usr/bin/real 1", "/usr/../../x x /usr/bin/real 1", "/usr/bin/../../x x /usr/bin/real 1", "../x x /usr/bin/real 1", "x x /usr/bin/real 1", "/ x /usr/bin/real 1", "/usr x /usr/bin/real 1",
		"/etc/passwd passwd /usr/bin/real 1", "/usr/bin/real/x x /usr/bin/real 1", "/usr/bin/link/x x /usr/bin/real 1", "/proc/x x /usr/bin/real 1", "/home/x x /usr/bin/real 1", "/DEBIAN/x x /usr/bin/real 1",
		"//usr/bin/x x /usr/bin/real 1", "/usr/bin/x x /usr/bin/../bin/real 1", "/usr/bin/x x ../bin/real 1", "/usr/bin/x x /etc/shadow 1", "/usr/bin/x ../x /usr/bin/real 1", "/usr/bin/x x /usr/bin/real one",
		"/usr/bin/x x /usr/bin/real", "/usr/bin/x x", "", "/usr/bin/x '' /usr/bin/real 1", "/usr/bin/x x /usr/loop 1", "/usr/bin/x x /usr/a 1", "/usr/bin/x x /usr/a/b 1", "/usr/bin/x x '/usr/bin/real 1", "/usr/bin/x x $HOME/real 1",
		"/usr/bin/x x `pwd`/real 1", "/usr/bin/x x $(pwd)/real 1", "/usr/bin/x x /usr/bin/real 99999999999999999999999", "/usr/bin/" + strings.Repeat("x", 5000) + " x /usr/bin/real 1",
		"/usr" + strings.Repeat("/d", 1000) + " x /usr/bin/real 1", "/usr/bin/x x /usr/bin/real/../real 1",
	} {
		files["DEBIAN/postinst"] = "#!/bin/sh\nupdate-alternatives --install " + line + "\n"
		got, err := s.compose(t, s.deb("evil", files))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%.100s: %v (-want +got)\n%s", line, err, diff)
		}
	}
	// Slaves are checked as their master is.
	files["DEBIAN/postinst"] = "update-alternatives --install /usr/bin/x x /usr/bin/real 1 --slave /../y y /usr/bin/real --slave /etc/passwd p /usr/bin/real --slave /usr/bin/z z /../../real --slave /usr/bin/ok ok /usr/bin/real --slave\n"
	got, err := s.compose(t, s.deb("evil", files))
	want["usr/bin/x"], want["usr/bin/ok"] = "-> real", "-> real"
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("slaves: %v (-want +got)\n%s", err, diff)
	}
}

func TestSystem(t *testing.T) {
	s := shelf{}
	s.want(t, map[string]string{
		"bin": "-> usr/bin", "lib": "-> usr/lib",
		"etc/passwd": "root:*:0:0:root:/root:/bin/sh\nmessagebus:*:980:980::/nonexistent:/usr/sbin/nologin\n", "etc/group": "root:*:0:\nrdma:*:981:\nmessagebus:*:5:\n",
		"usr/share/base-passwd/passwd.master": "root:*:0:0:root:/root:/bin/sh\n", "usr/share/base-passwd/group.master": "root:*:0:\nrdma:*:981:\nmessagebus:*:5:\n",
		"etc/nsswitch.conf": "n", "usr/share/libc-bin/nsswitch.conf": "n", "etc/profile": "own", "usr/share/base-files/profile": "p", "etc/motd": "m", "usr/share/base-files/motd": "m",
		"etc/hosts":                    "127.0.0.1\tlocalhost\n::1\t\tlocalhost ip6-localhost ip6-loopback\nff02::1\t\tip6-allnodes\nff02::2\t\tip6-allrouters\n\n",
		"etc/networks":                 "default\t\t0.0.0.0\nloopback\t127.0.0.0\nlink-local\t169.254.0.0\n\n",
		"etc/shells":                   "# shells\n/bin/sh\n/usr/bin/sh\n/bin/bash\n/usr/bin/bash\n/opt/sh\n",
		"usr/share/debianutils/shells": "# shells\n/bin/sh\n", "usr/share/debianutils/shells.d/bash": "/bin/bash # yes\n\nnot/absolute\n/opt/sh\n", "usr/bin/bash": "b",
		"usr/share/zoneinfo/Etc/UTC": "u", "etc/localtime": "-> ../usr/share/zoneinfo/Etc/UTC", "etc/timezone": "Etc/UTC\n",
		"var/run": "-> ../run", "var/lock": "-> ../run/lock", "var/mail/": "", "var/spool/mail": "-> ../mail", "var/opt/": "", "etc/opt/": "",
		"etc/dpkg/origins/debian": "d", "etc/dpkg/origins/default": "-> debian", "usr/lib/python3.11/os.py": "o",
		"etc/python3/debian_config": "[DEFAULT]\n# how to byte-compile (comma separated: standard, optimize)\nbyte-compile = standard\n",
	},
		s.deb("base-files", map[string]string{"usr/share/base-files/profile": "p", "usr/share/base-files/motd": "m", "var/run/": "", "var/lock/": "", "var/spool/": "", "etc/dpkg/origins/debian": "d", "run/": ""}),
		s.deb("base-passwd", map[string]string{"usr/share/base-passwd/passwd.master": "root:*:0:0:root:/root:/bin/sh\n", "usr/share/base-passwd/group.master": "root:*:0:\nrdma:*:981:\nmessagebus:*:5:\n"}),
		s.deb("libc-bin", map[string]string{"usr/share/libc-bin/nsswitch.conf": "n"}),
		s.deb("own", map[string]string{"etc/profile": "own"}), // a package's file wins over derived data
		s.deb("netbase", nil), s.deb("dbus", nil), s.deb("libibverbs1", nil),
		s.deb("debianutils", map[string]string{"usr/share/debianutils/shells": "# shells\n/bin/sh\n"}),
		s.deb("bash", map[string]string{"usr/share/debianutils/shells.d/bash": "/bin/bash # yes\n\nnot/absolute\n/opt/sh\n", "bin/bash": "b"}),
		s.deb("tzdata", map[string]string{"usr/share/zoneinfo/Etc/UTC": "u"}),
		s.deb("python3", map[string]string{"usr/lib/python3.11/os.py": "o", "usr/lib/python3.11/EXTERNALLY-MANAGED": "pip"}),
	)
	tree, err := Compose(t.Context(), []Package{s.deb("glib", map[string]string{"usr/share/glib-2.0/schemas/x.xml": "x", "usr/share/mime/packages/a.xml": "a", "usr/share/mime/mime.cache": "made"})}, s.read)
	if err != nil || len(tree.Notes) != 1 || !strings.Contains(tree.Notes[0], "glib-compile-schemas") {
		t.Errorf("got %v, %v", tree, err)
	}
}

// TestHostileFiles has files that the layout reads and that are not what they should be.
func TestHostileFiles(t *testing.T) {
	s := shelf{}
	long := strings.Repeat("x", MaxSmall+1)
	many := map[string]string{}
	for i := range maxBundle/MaxSmall + 2 {
		many[fmt.Sprintf("usr/share/ca-certificates/%d.crt", i)] = strings.Repeat(fmt.Sprint(i%10), MaxSmall-10)
	}
	for name, c := range map[string]struct {
		files map[string]string
		code  protocol.Code
		named string
	}{
		"huge script":          {map[string]string{"DEBIAN/postinst": long}, protocol.Invalid, "DEBIAN/postinst"},
		"huge control":         {map[string]string{"DEBIAN/control": long}, protocol.Invalid, "DEBIAN/control"},
		"huge certificate":     {map[string]string{"usr/share/ca-certificates/x.crt": long}, protocol.Invalid, "x.crt"},
		"many certificates":    {many, protocol.Exhausted, "certificates"},
		"huge master":          {map[string]string{"usr/share/base-passwd/passwd.master": long}, protocol.Invalid, "passwd.master"},
		"master without end":   {map[string]string{"usr/share/base-passwd/passwd.master": "root:*:0:0:root:/root:/bin/sh"}, protocol.Invalid, "no end"},
		"empty line in master": {map[string]string{"usr/share/base-passwd/passwd.master": "root:*:0:0:root:/root:/bin/sh\n\nevil::0:0::/:/bin/sh\n"}, protocol.Invalid, "passwd.master"},
		"field with return":    {map[string]string{"usr/share/base-passwd/passwd.master": "root:*:0:0:ro\rot:/root:/bin/sh\n"}, protocol.Invalid, "control characters"},
		"fields":               {map[string]string{"usr/share/base-passwd/group.master": "root:*:0:0:0:\n"}, protocol.Invalid, "4 fields"},
		"nameless":             {map[string]string{"usr/share/base-passwd/group.master": ":*:0:\n"}, protocol.Invalid, "group.master"},
		"huge shells":          {map[string]string{"usr/share/debianutils/shells": long}, protocol.Invalid, "shells"},
		"huge jinfo":           {map[string]string{"usr/lib/jvm/.x.jinfo": long}, protocol.Invalid, "jinfo"},
	} {
		files := map[string]string{"DEBIAN/control": "Package: evil\n"}
		maps.Copy(files, c.files)
		got, err := s.compose(t, s.pkg("evil", files))
		if protocol.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.named) {
			t.Errorf("%s: got %d files, %v, want %s and %q", name, len(got), err, c.code, c.named)
		}
	}
	// What is no file is not read: a link out of the tree, a folder.
	s.want(t, map[string]string{
		"usr/share/ca-certificates/x.crt": "-> ../../../etc/shadow", "usr/share/ca-certificates/y.crt/": "", "usr/share/base-passwd/passwd.master": "-> ../../../etc/shadow", "usr/lib/jvm/.j.jinfo": "-> .j.jinfo",
		"usr/share/debianutils/shells/": "", "usr/share/zoneinfo/Etc/UTC": "-> ../../../../dev/zero", "etc/localtime": "-> ../usr/share/zoneinfo/Etc/UTC", "etc/timezone": "Etc/UTC\n", "lib": "-> usr/lib",
	}, s.deb("evil", map[string]string{
		"usr/share/ca-certificates/x.crt": "-> ../../../etc/shadow", "usr/share/ca-certificates/y.crt/": "", "usr/share/base-passwd/passwd.master": "-> /etc/shadow", "usr/lib/jvm/.j.jinfo": "-> .j.jinfo",
		"usr/share/debianutils/shells/": "", "usr/share/zoneinfo/Etc/UTC": "-> /dev/zero",
	}))
}

// FuzzCommands checks that reading a script ends, that words are texts of it or of its variables, and that links stay in usr and etc.
func FuzzCommands(f *testing.F) {
	f.Add([]byte("x=/usr\nupdate-alternatives --install $x/bin/a a ${x}/bin/b 1 \\\n --slave /etc/x x /usr/y # z\n"))
	f.Add([]byte("update-alternatives --install \"/usr/a\" 'a' /usr/b 1 && x | y `z` $( ;"))
	f.Add([]byte(jinfo))
	f.Fuzz(func(t *testing.T, script []byte) {
		all := parseJinfo(string(script))
		for _, words := range commands(script, "update-alternatives") {
			if len(words) == 0 || !strings.HasSuffix(words[0], "update-alternatives") {
				t.Errorf("the command %q", words)
			}
			if a, ok := parseAlternative(words); ok {
				all = append(all, a)
			}
		}
		for _, a := range all {
			for _, at := range append([]string{a.link}, linksOf(a)...) {
				if !strings.HasPrefix(at, "usr/") && !strings.HasPrefix(at, "etc/") || strings.Contains("/"+at+"/", "/../") || strings.Contains(at, "//") {
					t.Errorf("a link %q", at)
				}
			}
		}
	})
}

func linksOf(a alternative) (all []string) {
	for _, s := range a.slaves {
		all = append(all, s.link)
	}
	return all
}
