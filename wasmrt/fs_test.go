package wasmrt_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/wasmrt"
)

func tree(t testing.TB, entries ...wasmrt.Entry) *wasmrt.Tree {
	t.Helper()
	tr, err := wasmrt.NewTree(slices.Values(entries))
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func file(path, data string) wasmrt.Entry {
	return wasmrt.Entry{Path: path, Kind: wasmrt.KindFile, Data: []byte(data)}
}

func link(path, target string) wasmrt.Entry {
	return wasmrt.Entry{Path: path, Kind: wasmrt.KindSymlink, Target: target}
}

// TestFileSystem checks how programs see the file system. Each case has a fresh scratch at /nuka/build, a tree at
// /nuka/store/p and a second scratch at /nuka/out.
func TestFileSystem(t *testing.T) {
	const noent, exist, notdir, isdir = "No such file or directory", "File exists", "Not a directory", "Is a directory"
	for _, c := range []struct {
		name string
		cmds []string
		want string
	}{
		{"write and read", []string{"write a hello", "append a _world", "cat a", "stat a"}, "hello_world\na ---------- 11 315532800 1\n"},
		{"offsets", []string{"open f f rw", "puts f 0123456789", "pread f 3 4", "pwrite f 2 ab", "seek f 1", "read f", "size f"}, "3456\n1ab456789\n10\n"},
		{"sparse", []string{"open f f rw", "pwrite f 5 x", "size f", "truncate f 2", "size f"}, "6\n2\n"},
		{"exclusive", []string{"excl a", "excl a", "symlink a l", "excl l", "symlink none d", "excl d"},
			"excl: open a: " + exist + "\nexcl: open l: " + exist + "\nexcl: open d: " + exist + "\n"},
		{"create through a link", []string{"symlink made l", "write l x", "cat made", "lstat l"}, "x\nl L--------- 4 315532800 1\n"},
		{"unlink while open", []string{"write a x", "open f a rw", "rm a", "puts f y", "seek f 0", "read f", "cat a"}, "y\ncat: open a: " + noent + "\n"},
		{"rename over", []string{"write a 1", "write b 2", "open f b r", "rename a b", "cat b", "read f", "cat a"}, "1\n2\ncat: open a: " + noent + "\n"},
		{"rename errors", []string{"write a 1", "mkdir d", "mkdir e", "write e/x 1", "rename a d", "rename d a", "rename d e", "rename d d/x", "rename none a", "rename . d"},
			"rename: " + isdir + "\nrename: " + notdir + "\nrename: Directory not empty\n" +
				"rename: Invalid argument\nrename: " + noent + "\nrename: Device or resource busy\n"},
		{"hard links", []string{"write a 1", "link a b", "append b 2", "cat a", "stat a", "rm a", "cat b", "stat b", "mkdir d", "link d e"},
			"12\na ---------- 2 315532800 2\n12\nb ---------- 2 315532800 1\nlink: link d e: Operation not permitted\n"},
		{"open directory follows its rename", []string{"mkdir d", "write d/f in", "open k d r", "rename d e", "at k f", "at k ../e/f", "putat k g made", "cat e/g"}, "in\nin\nmade\n"},
		{"open directory below a rename", []string{"mkdir a", "mkdir a/b", "open k a/b r", "rename a z", "putat k f x", "cat z/b/f", "at k ../../z/b/f"}, "x\nx\n"},
		{"removed directory", []string{"mkdir d", "open k d r", "rm d", "putat k f x", "mkdir d", "putat k f x", "ls d"},
			"putat: " + noent + "\nputat: " + noent + "\n"},
		{"parent after a link", []string{"mkdir a", "mkdir a/b", "write a/f right", "write f wrong", "symlink a/b l", "open k . r", "at k l/../f"}, "right\n"},
		{"relative above the working directory", []string{"open k . r", "at k ../store/p/lib/f", "at k ../../nuka/store/p/lib/f", "at k ../../../../../../nuka/store/p/lib/f"},
			"from the store\nfrom the store\nfrom the store\n"},
		{"links cross mounts", []string{"symlink ../store/p/lib l", "cat l/f", "symlink /nuka/store/p/lib/f abs", "cat abs", "cat ../store/p/up", "write here/x y", "write back yes", "cat ../store/p/tobuild/back"},
			"from the store\nfrom the store\nfrom the store\nwrite: open here/x: " + noent + "\nyes\n"},
		{"loops", []string{"symlink a b", "symlink b a", "cat a", "symlink self self", "cat self/x", "symlink . dot", "ls dot/dot/dot/dot"},
			"cat: open a: Too many symbolic links\ncat: open self/x: Too many symbolic links\na L---------\nb L---------\ndot L---------\nself L---------\n"},
		{"trailing slashes", []string{"write f x", "mkdir d/", "open k . r", "at k f/", "putat k new/ x", "symlink d l", "rename l/ m", "lstat l"},
			"at: " + notdir + "\nputat: " + isdir + "\nrename: " + notdir + "\nl L--------- 1 315532800 1\n"},
		{"store is read-only", []string{"write ../store/p/lib/f x", "write ../store/p/new x", "mkdir ../store/p/d", "rm ../store/p/lib/f", "rename ../store/p/lib ../store/p/l", "symlink x ../store/p/l", "link ../store/p/lib/f g", "truncate ../store/p/lib/f 0", "cat ../store/p/lib/f"},
			"write: open ../store/p/lib/f: Read-only file system\nwrite: open ../store/p/new: Read-only file system\nmkdir: mkdir ../store/p/d: Read-only file system\n" +
				"rm: remove ../store/p/lib/f: Read-only file system\nrename: Read-only file system\nsymlink: symlink x ../store/p/l: Read-only file system\n" +
				"link: link ../store/p/lib/f g: Cross-device link\ntruncate: truncate ../store/p/lib/f: Read-only file system\nfrom the store\n"},
		{"mounts stay", []string{"rename /nuka/out /nuka/o", "rm /nuka/out", "rmall /tmp", "mkdir /new", "write /nuka/x y", "ls /nuka"},
			"rename: Device or resource busy\nrm: remove /nuka/out: Device or resource busy\n" +
				"mkdir: mkdir /new: Read-only file system\nwrite: open /nuka/x: Read-only file system\nbuild d---------\nout d---------\nstore d---------\n"},
		{"between scratches", []string{"write a x", "rename a /nuka/out/a", "link a /nuka/out/a"}, "rename: Cross-device link\nlink: link a /nuka/out/a: Cross-device link\n"},
		{"devices", []string{"write /dev/null x", "cat /dev/null", "stat /dev/null", "open z /dev/zero r", "write /dev/new x", "rm /dev/null", "cat /dev/sda"},
			"\nnull ---------- 0 315532800 1\nwrite: open /dev/new: Read-only file system\nrm: remove /dev/null: Read-only file system\ncat: open /dev/sda: " + noent + "\n"},
		{"descriptors", []string{"write /dev/stdout out", "write /dev/fd/1 again", "append /dev/../dev/fd/1 more", "cat /dev/stdin", "write /dev/fd/0 x", "cat /dev/fd/77", "cat /dev/fd/01", "cat /dev/fd/-1",
			"symlink /dev/stdout log", "write log linked", "write /dev/fd/new x", "rm /dev/stdin", "rename /dev/stdout o", "lstat /dev/stderr", "stat /dev/fd/9", "ls /dev", "ls /dev/fd"},
			"outagainmore\nwrite: open /dev/fd/0: Permission denied\ncat: open /dev/fd/77: " + noent + "\ncat: open /dev/fd/01: " + noent + "\ncat: open /dev/fd/-1: " + noent + "\n" +
				"linkedwrite: open /dev/fd/new: Read-only file system\nrm: remove /dev/stdin: Read-only file system\nrename: Cross-device link\n" +
				"stderr L--------- 4 315532800 1\nstat: stat /dev/fd/9: " + noent + "\n" +
				"fd d---------\nnull ----------\nrandom ----------\nstderr L---------\nstdin L---------\nstdout L---------\nurandom ----------\nzero ----------\n0 ----------\n1 ----------\n2 ----------\n"},
		{"times", []string{"write a x", "utime a 1000", "stat a"}, "a ---------- 1 315532800 1\n"},
		{"names", []string{"write " + strings.Repeat("n", 256) + " x", "write bad\xff x", "cat " + strings.Repeat("d/", 3000) + "x"},
			"write: open " + strings.Repeat("n", 256) + ": File name too long\nwrite: open bad\xff: EILSEQ\ncat: open " + strings.Repeat("d/", 3000) + "x: File name too long\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := tree(t, file("lib/f", "from the store"), link("up", "lib/../up2"), link("up2", "../p/lib/f"), link("tobuild", "/nuka/build"))
			out, err := wasmrt.OpenDir(t.TempDir(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			b := newBox(t, nil, wasmrt.Mount{Path: "/nuka/store/p", Tree: store}, wasmrt.Mount{Path: "/nuka/out", Dir: out})
			if diff := cmp.Diff(c.want, b.run(c.cmds...)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			b.unharmed()
		})
	}
}

func TestReaddirOfManyIsSortedAndWhole(t *testing.T) {
	b := newBox(t, nil)
	n := 20_000
	if testing.Short() {
		n = 2_000
	}
	if err := os.Mkdir(b.host("d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := os.WriteFile(b.host(fmt.Sprintf("d/%x", uint32(i)*2654435761)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := b.run("count d"), fmt.Sprintf("%d names, sorted: true\n", n); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestNothingOfTheHostShows makes two directories on the host, in different order and at different times, and checks that
// they look the same.
func TestNothingOfTheHostShows(t *testing.T) {
	look := []string{"ls .", "ino l", "ino k", "ino a", "ino d/b", "ino .", "stat a", "stat d", "ls .", "random", "time", "env", "ls /dev", "sleep 5h"}
	one, two := newBox(t, nil), newBox(t, nil)
	one.run("write a 1", "mkdir d", "write d/b 2", "write k 1", "link k k2", "write l 1", "link l l2")
	two.run("mkdir x", "write x/b 2", "write y 1", "rename x d", "rename y a", "write l 1", "link l l2", "write k 1", "link k k2")
	if err := os.Chtimes(two.host("a"), wasmrt.Epoch.AddDate(9, 0, 0), wasmrt.Epoch.AddDate(9, 0, 0)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(one.run(look...), two.run(look...)); diff != "" {
		t.Errorf("-one +two:\n%s", diff)
	}
}

func TestLiveDirShowsTheHostsTimes(t *testing.T) {
	b := newBox(t, &wasmrt.DirOptions{Live: true})
	got := b.run("write a x", "utime a 1000", "stat a")
	if want := "a ---------- 1 1000 1\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	st, err := os.Stat(b.host("a"))
	if err != nil || st.ModTime().Unix() != 1000 {
		t.Errorf("on the host: got %v, %v, want 1000", st.ModTime(), err)
	}
}

func TestExecutableBit(t *testing.T) {
	b := newBox(t, nil)
	b.run("write a x", "write b x", "mkdir d")
	if err := b.fs.Chmod("/nuka/build/a", true); err != nil {
		t.Fatal(err)
	}
	if err := b.fs.WriteFile("/nuka/build/d/tool", []byte("tool"), true); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"a": true, "b": false, "d/tool": true} {
		got, err := b.fs.Stat("/nuka/build/" + name)
		if err != nil || got.Exec != want {
			t.Errorf("%s: got %v, %v, want executable %v", name, got, err, want)
		}
	}
	b.run("rename a c")
	if got, err := b.fs.Stat("/nuka/build/c"); err != nil || !got.Exec {
		t.Errorf("after a rename: got %v, %v", got, err)
	}
	if err := b.fs.WriteFile("/nuka/x", nil, false); err == nil {
		t.Error("wrote outside of the mounts")
	}
}

func TestTreeRefusesWhatIsNoTree(t *testing.T) {
	for _, list := range [][]wasmrt.Entry{
		{file("../x", "")}, {file("/x", "")}, {file("a//b", "")}, {file("a/../b", "")}, {file("a", ""), file("a", "")},
		{file("a", ""), file("a/b", "")}, {file("", ""), file("a", "")}, {file("", ""), file("", "")}, {file("a\x00b", "")}, {{Path: "a"}}, {file("a/b", ""), file("a", "")},
	} {
		if _, err := wasmrt.NewTree(slices.Values(list)); err == nil {
			t.Errorf("%v: got no error", list)
		}
	}
}

func TestMountsAreChecked(t *testing.T) {
	tr := tree(t)
	for _, list := range [][]wasmrt.Mount{
		{{Path: "relative", Tree: tr}}, {{Path: "/a/../b", Tree: tr}}, {{Path: "/a"}}, {{Path: "/a", Tree: tr}, {Path: "/a", Tree: tr}}, {{Path: "/a/", Tree: tr}},
	} {
		if _, err := wasmrt.NewFS(list...); err == nil {
			t.Errorf("%v: got no error", list)
		}
	}
}

// TestSpecialFilesAreNotOpened has a FIFO or a device in a scratch, as a user's directory may: programs cannot open it, and
// nothing blocks.
func TestSpecialFilesAreNotOpened(t *testing.T) {
	b := newBox(t, &wasmrt.DirOptions{Live: true})
	if err := mkfifo(filepath.Join(b.outside, "scratch", "fifo")); err != nil {
		t.Skip(err)
	}
	if got := b.run("cat fifo", "write fifo x", "append fifo x"); strings.Count(got, "No such device or address") != 3 {
		t.Errorf("got %q", got)
	}
}
