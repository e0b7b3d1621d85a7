package worker

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/node/realize"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/wasmrt"
)

// readPaths does "read" as an honest worker: it reads paths of its inputs, all at once and through the node, and prints the results.
func readPaths(conn *wasmrt.Conn, job *workerJob, paths []string) error {
	node, out := newParent(conn), output{conn}
	var mounts []wasmrt.Mount
	for _, t := range job.Trees {
		tree, err := wasmrt.ReadTree(t.Root, node)
		if err != nil {
			return err
		}
		mounts = append(mounts, wasmrt.Mount{Path: t.Path, Tree: tree})
	}
	guest, err := wasmrt.NewFS(mounts...)
	if err != nil {
		return err
	}
	found := make([]string, len(paths))
	var wg sync.WaitGroup
	for i, p := range paths {
		wg.Go(func() {
			info, err := guest.Stat(p)
			found[i] = fmt.Sprint(p, " ", info, err)
			if info.Kind == wasmrt.KindFile {
				b, err := guest.ReadFile(p, 0)
				found[i] += fmt.Sprint(" ", cid.Sum(cid.Raw, b), err)
			}
		})
	}
	wg.Wait()
	fmt.Fprintln(out, strings.Join(found, "\n"))
	for _, m := range mounts {
		if err := m.Tree.Failed(); err != nil {
			fmt.Fprintln(out, "failed:", err)
		}
	}
	return conn.SendValue(workerReply{Done: true})
}

// lookAt does "look" as a taken-over worker: it sends each word as a question about a folder, or about files joined by +, and prints the
// answers. For a word with *N it sends N questions at once without reading the answers.
func lookAt(conn *wasmrt.Conn, words []string) error {
	out := output{conn}
	for i, word := range words {
		want, times := wantTree{ID: uint64(i)}, 1
		if head, n, ok := strings.Cut(word, "*"); ok {
			word = head
			fmt.Sscan(n, &times) //nolint:errcheck // it is the test's own
		}
		for part := range strings.SplitSeq(word, "+") {
			if file, ok := strings.CutPrefix(part, "file:"); ok {
				want.Files = append(want.Files, file)
			} else {
				want.Folder = part
			}
		}
		for range times {
			if err := conn.SendValue(workerReply{Look: &want}); err != nil {
				return err
			}
		}
		answer, err := conn.Recv()
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s\n", answer)
	}
	return conn.SendValue(workerReply{Done: true})
}

// leave sends CID*N questions, reports that the build is done, and keeps running without reading.
func leave(conn *wasmrt.Conn, what string) error {
	id, n, _ := strings.Cut(what, "*")
	times, err := strconv.Atoi(n)
	if err != nil {
		return err
	}
	for range times {
		if err := conn.SendValue(workerReply{Look: &wantTree{Folder: id}}); err != nil {
			return err
		}
	}
	if _, err := conn.Recv(); err != nil {
		return err
	}
	time.Sleep(500 * time.Millisecond) // until the answers fill the pipe
	if err := conn.SendValue(workerReply{Done: true}); err != nil {
		return err
	}
	time.Sleep(time.Hour)
	return nil
}

// add imports a tree.
func (x *bench) add(t *testing.T, files fs.FS) cid.CID {
	t.Helper()
	root, err := x.store.Import(t.Context(), files, nil)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func (x *bench) see(path string, root cid.CID) {
	x.inputs = append(x.inputs, realize.Input{Path: path, CID: root})
}

// A worker sees its inputs as they are in the store: small and large files, executables, links, a folder in shards.
func TestWorkerReadsItsInputs(t *testing.T) {
	x := newBench(t)
	large := bytes.Repeat([]byte("0123456789abcdef"), 200_000) // four leaves
	files := fstest.MapFS{
		"empty": {}, "emptyexec": {Mode: 0o755}, "small": {Data: []byte("small")}, "exec": {Data: []byte("#!x"), Mode: 0o755},
		"large": {Data: large}, "largeexec": {Data: large, Mode: 0o755}, "link": {Data: []byte("a/b/f"), Mode: fs.ModeSymlink | 0o777}, "a/b/f": {Data: []byte("f")},
	}
	const many = 20_000 // more than one node holds
	for i := range many {
		files[fmt.Sprintf("many/%055d", i)] = &fstest.MapFile{Data: []byte("f")}
	}
	for i := range 18_000 { // whose entries do not fit in one message
		files[fmt.Sprintf("links/%d", i)] = &fstest.MapFile{Data: bytes.Repeat([]byte("x/"), 2000), Mode: fs.ModeSymlink | 0o777}
	}
	root := x.add(t, files)
	x.see("/p", root)
	one := cid.Sum(cid.Raw, []byte("small"))
	x.see("/one", one)
	paths := []string{"/p", "/p/none", "/p/a/b", "/one", "/p/links/none"}
	for name := range files {
		if !strings.HasPrefix(name, "links/") && !strings.HasPrefix(name, "many/") || strings.HasSuffix(name, "77") && name[0] == 'm' {
			paths = append(paths, "/p/"+name)
		}
	}
	slices.Sort(paths)
	said, err := x.build(t, t.TempDir(), "read "+strings.Join(paths, " "), true)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, p := range paths {
		name := strings.TrimPrefix(p, "/p/")
		if name == "link" {
			name = "a/b/f"
		}
		switch f := files[name]; {
		case f != nil:
			info := wasmrt.FileInfo{Kind: wasmrt.KindFile, Exec: f.Mode&0o111 != 0, Size: int64(len(f.Data))}
			want = append(want, fmt.Sprint(p, " ", info, nil, " ", cid.Sum(cid.Raw, f.Data), nil))
		case p == "/one":
			want = append(want, fmt.Sprint(p, " ", wasmrt.FileInfo{Kind: wasmrt.KindFile, Size: 5}, nil, " ", one, nil))
		case strings.HasSuffix(p, "none"):
			want = append(want, fmt.Sprint(p, " ", wasmrt.FileInfo{}, errors.New("stat "+p+": no such file or directory")))
		default:
			want = append(want, fmt.Sprint(p, " ", wasmrt.FileInfo{Kind: wasmrt.KindDir}, nil))
		}
	}
	if d := cmp.Diff(want, strings.Split(strings.TrimSpace(said), "\n")); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

// A damaged file is an I/O error. The worker reports it as such, whatever its programs make of the failed read.
func TestWorkerReadsADamagedInput(t *testing.T) {
	x := newBench(t)
	x.see("/p", x.add(t, fstest.MapFS{"good": {Data: []byte("good")}, "bad": {Data: []byte("text")}}))
	blob, err := x.store.BlobPath(cid.Sum(cid.Raw, []byte("text")))
	if err == nil {
		err = errors.Join(os.Chmod(blob, 0o600), os.WriteFile(blob, []byte("TEXT"), 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	said, err := x.build(t, t.TempDir(), "read /p/good /p/bad", true)
	if err != nil || !strings.Contains(said, "read /p/bad: input/output error") || !strings.Contains(said, "failed: find file \"bad\"") || strings.Contains(said, "read /p/good") {
		t.Errorf("got %q, %v", said, err)
	}
}

// A worker can learn of its inputs, step by step from their roots, and of nothing else in the store.
func TestWorkerLooksAtItsInputsOnly(t *testing.T) {
	x := newBench(t)
	in := fstest.MapFS{"d/sub/f": {Data: []byte("input")}, "g": {Data: []byte("g")}}
	root := x.add(t, in)
	other := x.add(t, fstest.MapFS{"d/secret": {Data: []byte("secret")}})
	at := func(root cid.CID, path string) string {
		e, err := x.store.Lookup(t.Context(), root, path)
		if err != nil {
			t.Fatal(err)
		}
		return e.CID.String()
	}
	x.see("/p", root)
	top, d, sub, f := root.String(), at(root, "d"), at(root, "d/sub"), at(root, "d/sub/f")
	const stranger = "not one of its inputs"
	for _, c := range []struct{ what, err string }{
		{"look " + top + " " + d + " " + sub + " file:" + f, ""},
		{"look " + top + " file:" + at(root, "g") + " " + top, ""},
		{"look " + d, stranger},
		{"look " + top + " " + sub, stranger},
		{"look " + top + " " + d + " file:" + f, stranger},
		{"look file:" + f, stranger},
		{"look " + other.String(), stranger},
		{"look " + at(other, "d"), stranger},
		{"look " + top + " file:" + at(other, "d/secret"), stranger},
		{"look " + top + " file:" + at(root, "g") + "+file:" + at(other, "d/secret"), stranger},
		{"look file:../../../etc/passwd", stranger},
		{"look nothing", stranger},
		{"look " + top + "+file:" + top, "2 folders and files at once"},
		{"look " + top + strings.Repeat("+file:"+top, 70), "71 folders and files at once"},
		{"look " + strings.Repeat("+file:"+top, 70)[1:], "70 folders and files at once"},
		{"look file:", stranger},
	} {
		said, err := x.build(t, t.TempDir(), c.what, true)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: got %v, want %q", c.what, err, c.err)
		}
		if strings.Contains(said, "secret") {
			t.Errorf("%s: it was told %s", c.what, said)
		}
	}
}

// If a worker asks without reading the answers, or asks too many questions at once, the node ends the worker and its questions.
func TestWorkerThatDoesNotListen(t *testing.T) {
	x := newBench(t)
	files := fstest.MapFS{}
	for i := range 20_000 {
		files[fmt.Sprintf("%055d", i)] = &fstest.MapFile{}
	}
	root := x.add(t, files)
	x.see("/p", root)
	if _, err := x.build(t, t.TempDir(), fmt.Sprintf("look %s*1000", root), true); err == nil || !strings.Contains(err.Error(), "answers are due") {
		t.Errorf("got %v", err)
	}
	// It reports that it is done while the pending answers fill every buffer.
	if _, err := x.build(t, t.TempDir(), fmt.Sprintf("leave %s*%d", root, 2*maxLooks), true); err != nil {
		t.Errorf("got %v", err)
	}
}
