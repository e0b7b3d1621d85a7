package pip

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/pir"
)

// request maps addresses as a Recorder does, with the path as it is.
func request(address string) ecosystem.Request {
	u, err := url.Parse(address)
	if err != nil {
		return ecosystem.Request{}
	}
	return ecosystem.Request{Alias: ecosystem.HostAlias(u.Scheme + "://" + u.Host), Path: u.EscapedPath(), Query: u.RawQuery}
}

var sixPack = ecosystem.Request{Alias: "pypi", Path: "/six-pack/", Variant: formJSON}

func TestSplit(t *testing.T) {
	for file, want := range map[string]string{
		"six_pack-1.0-py3-none-any.whl": "six-pack 1.0", "Six.Pack-1.0-1-py3-none-any.whl": "six-pack 1.0", "six-pack-1.0.tar.gz": "six-pack 1.0",
		"six-pack-1.0.post1.zip": "six-pack 1.0.post1", "six_pack-2!1.0rc1+local.2.tar.bz2": "six-pack 2!1.0rc1+local.2", "six_pack-1.0-py3.11.egg": "six-pack 1.0",
		"six-pack-1.0-1.tar.gz": "six-pack 1.0-1", "six-pack.tar.gz": "", "six-1.0.tar.gz": "", "six-pack-plus-1.0.tar.gz": "", "six_pack-1.0.whl": "", "six_pack-1.0-py3-none-any.whl.asc": "",
		"six_pack-..-py3-none-any.whl": "", "-1.0.tar.gz": "", "six-pack-1.0.exe": "",
	} {
		got := ""
		if project, version, ok := split(file, "six-pack"); ok {
			got = project + " " + version
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", file, got, want)
		}
	}
	for path, want := range map[string]ecosystem.Class{
		"/six-pack/": ecosystem.Index, "/six-pack": ecosystem.Index, "/f/six-1.0.tar.gz": ecosystem.Artefact, "/f/six-1.0-py3-none-any.whl.metadata": ecosystem.Artefact,
		"/f/six-1.0.tar.gz.asc": ecosystem.Text, "/integrity/six/1.0/six-1.0.tar.gz/provenance": ecosystem.Text, "/zope.interface/": ecosystem.Index,
	} {
		if got := (Adapter{}).Classify(ecosystem.Request{Path: path}); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}

func TestRefused(t *testing.T) {
	for name, body := range map[string]string{
		"nothing":                "",
		"text":                   "not found",
		"another project":        jsonIndex("https://example.org", "other", "other-0.5.tar.gz"),
		"other files":            jsonIndex("https://example.org", "six-pack", "other-0.5.tar.gz"),
		"a wheel of another":     strings.Replace(jsonIndex("https://example.org", "six-pack", "six-pack-1.0.tar.gz"), `"files":[`, `"files":[{"filename":"evil-1.0-py3-none-any.whl","url":"x"},`, 1),
		"no files":               `{"meta":{"api-version":"1.0"},"name":"six-pack"}`,
		"no meta":                `{"files":[],"name":"six-pack"}`,
		"files of another type":  `{"meta":{},"name":"six-pack","files":{}}`,
		"a size as text":         `{"meta":{},"name":"six-pack","files":[{"filename":"six-pack-1.0.tar.gz","url":"x","size":"1"}]}`,
		"a wrong hash":           `{"meta":{},"name":"six-pack","files":[{"filename":"six-pack-1.0.tar.gz","url":"x","hashes":{"sha256":"00"}}]}`,
		"cut off":                jsonIndex("https://example.org", "six-pack", "six-pack-1.0.tar.gz")[:200],
		"two texts":              `{"meta":{},"name":"six-pack","files":[]}{}`,
		"a page with links":      `<html><body><a href="/about">About us</a></body></html>`,
		"a page with a form":     `<html><body><form><input name="user"></form><a href="six-pack-1.0.tar.gz">six-pack-1.0.tar.gz</a></body></html>`,
		"a page of other files":  htmlIndex("six-pack", "other-0.5.tar.gz"),
		"an array":               `[]`,
		"a capital name of URLs": `{"meta":{},"NAME":"six-pack","files":[]}`,
	} {
		if files, err := (Adapter{}).Read(sixPack, "https://example.org/simple/six-pack/", "", []byte(body), request); err == nil {
			t.Errorf("%s: got %v", name, files)
		}
	}
	if _, err := (Adapter{}).Read(ecosystem.Request{Alias: "pypi", Path: "/"}, "https://example.org/simple/", "", []byte(`{"meta":{},"projects":[],"files":[]}`), request); err == nil {
		t.Error("a list of all projects: no error")
	}
}

// TestFieldsOfOtherCase checks that a field counts by its exact name, as clients have it.
func TestFieldsOfOtherCase(t *testing.T) {
	body := `{"meta":{},"name":"six-pack","files":[{"filename":"six-pack-1.0.tar.gz","url":"https://example.org/a/six-pack-1.0.tar.gz","URL":"https://example.org/b/six-pack-1.0.tar.gz",` +
		`"hashes":{"sha256":"` + strings.Repeat("ab", 32) + `"},"Hashes":{"sha256":"` + strings.Repeat("cd", 32) + `"}}]}`
	files, err := Adapter{}.Read(sixPack, "https://example.org/simple/six-pack/", "", []byte(body), request)
	if err != nil || len(files) != 1 {
		t.Fatalf("got %v, %v", files, err)
	}
	if f := files[0]; f.Request.Path != "/a/six-pack-1.0.tar.gz" || f.Promised.String() != "sha256-"+strings.Repeat("ab", 32) {
		t.Errorf("got %+v", f)
	}
}

func TestChange(t *testing.T) {
	proxied := func(address string) string {
		return strings.Replace(address, "https://example.org", ecosystem.Base+"/x", 1)
	}
	old := func(f *ecosystem.File) bool { return f.Version == "1.0" }
	base := "https://example.org/simple/six-pack/"
	body := jsonIndex("https://example.org", "six-pack", "six_pack-1.0-py3-none-any.whl", "six-pack-1.0.tar.gz", "six_pack-2.0-py3-none-any.whl")
	got, dropped, err := Adapter{}.Change(sixPack, base, jsonType, []byte(body), request, &ecosystem.Edit{Keep: old, Address: proxied, Lean: true})
	if err != nil || dropped != 1 {
		t.Fatalf("dropped %d, %v", dropped, err)
	}
	meta := digest("six_pack-1.0-py3-none-any.whl.metadata")
	at := uploadedAt("").Format("2006-01-02T15:04:05Z")
	want := `{"files":[
{"core-metadata":{"sha256":"` + meta + `"},"dist-info-metadata":{"sha256":"` + meta + `"},"filename":"six_pack-1.0-py3-none-any.whl","hashes":{"sha256":"` +
		digest("six_pack-1.0-py3-none-any.whl") + `"},"requires-python":">=3.8","size":220000,"upload-time":"` + at + `","url":"http://127.0.0.1:3128/x/packages/six_pack-1.0-py3-none-any.whl","yanked":"broken  build"},
{"filename":"six-pack-1.0.tar.gz","hashes":{"sha256":"` + digest("six-pack-1.0.tar.gz") + `"},"requires-python":">=3.8","size":22,"upload-time":"` + at +
		`","url":"http://127.0.0.1:3128/x/packages/six-pack-1.0.tar.gz","yanked":"broken  build"}
],"meta":{"api-version":"1.4"},"name":"six-pack","versions":["1.0"]}
`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Error(d)
	}
	page := `<!DOCTYPE html><base href="https://files.example.org/f/"><body><a href="six-pack-1.0.tar.gz#md5=` + strings.Repeat("ab", 16) + `" data-yanked="&quot;no&quot;" onclick="x()" data-x"y="1" ` +
		`data-gpg-sig="true">six</a><a href="six_pack-2.0-py3-none-any.whl">2</a><a href="/about">about</a>`
	got, _, err = Adapter{}.Change(sixPack, base, "text/html", []byte(page), request, &ecosystem.Edit{Keep: old})
	if err != nil {
		t.Fatal(err)
	}
	want = "<!DOCTYPE html>\n<html><head><meta name=\"pypi:repository-version\" content=\"1.0\"><title>Links for six-pack</title></head><body>\n" +
		`<a data-gpg-sig="true" data-yanked="&#34;no&#34;" href="https://files.example.org/f/six-pack-1.0.tar.gz#md5=` + strings.Repeat("ab", 16) + `">six-pack-1.0.tar.gz</a><br>` + "\n</body></html>\n"
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Error(d)
	}
	files, err := Adapter{}.Read(sixPack, base, "text/html", got, request)
	if err != nil || len(files) != 1 || files[0].Weak != "md5:"+strings.Repeat("ab", 16) || files[0].Request.Path != "/f/six-pack-1.0.tar.gz" {
		t.Errorf("got %+v, %v", files, err)
	}
}

func TestSetup(t *testing.T) {
	up := []ecosystem.Upstream{{Alias: "pypi", URL: "https://example.org/simple"}, {Alias: "pypi-2", URL: "https://example.com/simple"}}
	got := Adapter{}.Setup(ecosystem.DoorRegistry, ecosystem.Base, up).Env
	if got["PIP_INDEX_URL"] != ecosystem.Base+"/pypi/" || got["UV_INDEX"] != ecosystem.Base+"/pypi-2/" || got["PIP_CONFIG_FILE"] != "/dev/null" {
		t.Errorf("got %v", got)
	}
	got = Adapter{}.Setup(ecosystem.DoorProxy, ecosystem.Base, up).Env
	if got["UV_DEFAULT_INDEX"] != "https://example.org/simple/" || !strings.HasPrefix(got["SSL_CERT_FILE"], ecosystem.SetupDir) {
		t.Errorf("got %v", got)
	}
	got = Adapter{}.Setup(ecosystem.DoorProxy, ecosystem.Base, []ecosystem.Upstream{{Alias: "pypi"}}).Env
	if got["PIP_INDEX_URL"] != ecosystem.Base+"/pypi/" {
		t.Errorf("a replay: got %v", got)
	}
}

// FuzzChange edits indexes: what Change writes, Read reads, with the same promises and without what was dropped. A second edit changes nothing.
func FuzzChange(f *testing.F) {
	f.Add([]byte(jsonIndex("https://example.org", "six-pack", "six_pack-1.0-py3-none-any.whl", "six-pack-1.0.tar.gz", "six_pack-2.0-py3-none-any.whl")))
	f.Add([]byte(htmlIndex("six-pack", "six_pack-1.0-py3-none-any.whl", "six_pack-2.0-py3-none-any.whl")))
	f.Add([]byte(`<base href="https://a.example.org/?b"><a href="six-pack-1.0.zip#sha256=` + strings.Repeat("ab", 32) + `" data-core-metadata="sha256=00">`))
	f.Fuzz(func(t *testing.T, body []byte) {
		const base = "https://example.org/simple/six-pack/"
		before, err := Adapter{}.Read(sixPack, base, "", body, request)
		if err != nil {
			return
		}
		e := &ecosystem.Edit{Lean: true, Keep: func(f *ecosystem.File) bool { return f.Version != "2.0" }}
		edited, _, err := Adapter{}.Change(sixPack, base, "", body, request, e)
		if err != nil {
			t.Fatalf("Read reads it, and Change fails: %v", err)
		}
		after, err := Adapter{}.Read(sixPack, base, "", edited, request)
		if err != nil {
			t.Fatalf("Read fails after Change: %v\n%s", err, edited)
		}
		var want, got []string
		for _, file := range before {
			if file.Version != "2.0" {
				want = append(want, fmt.Sprint(file.Request, file.Name, file.Promised, file.Weak, file.Size))
			}
		}
		for _, file := range after {
			got = append(got, fmt.Sprint(file.Request, file.Name, file.Promised, file.Weak, file.Size))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s\n%s", d, edited)
		}
		again, dropped, err := Adapter{}.Change(sixPack, base, "", edited, request, e)
		if err != nil || dropped != 0 || string(again) != string(edited) {
			t.Errorf("a second edit: dropped %d, %v\n%s\n%s", dropped, err, edited, again)
		}
	})
}

func TestLocked(t *testing.T) {
	const sum = "8f42a60cbdf9a97f5d2305f08a87dc4e09308d1276d28c869c684d7777685682"
	lock := `version = 1
[[package]]
name = "mine"
version = "0.1.0"
source = { editable = "." }

[[package]]
name = "annotated-types"
version = "0.8.0"
source = { registry = "https://index.example.org/simple" }
sdist = { url = "https://files.example.org/p/annotated_types-0.8.0.tar.gz#x", hash = "sha256:` + sum + `", size = 15893, upload-time = "2026-07-23T20:16:13.995Z" }
wheels = [
    { url = "https://files.example.org/p/annotated_types-0.8.0-py3-none-any.whl", hash = "sha256:` + sum + `" },
    { url = "https://me:pw@files.example.org/p/annotated_types-0.8.0-cp1-none-any.whl", hash = "sha256:` + sum + `" },
]

[[package]]
name = "direct"
version = "1.0"
source = { url = "https://files.example.org/main.zip" }
sdist = { url = "https://files.example.org/main.zip" }
`
	var asked []string
	got, err := Adapter{}.Locked("/p/uv.lock", []byte(lock), func(address string) ecosystem.Request {
		asked = append(asked, address)
		return ecosystem.Request{Alias: "xfiles", Path: strings.TrimPrefix(address, "https://files.example.org")}
	})
	hash, _ := pir.ParseHash("sha256:" + sum)
	file := func(name string) ecosystem.File {
		return ecosystem.File{
			Request: ecosystem.Request{Alias: "xfiles", Path: "/p/" + name}, Package: "annotated-types", Version: "0.8.0", Name: name, Promised: hash,
			Origin: originOf("annotated-types", "0.8.0", name),
		}
	}
	want := []ecosystem.File{file("annotated_types-0.8.0-py3-none-any.whl"), file("annotated_types-0.8.0.tar.gz")}
	want[1].Size, want[1].Released = 15893, time.Date(2026, 7, 23, 20, 16, 13, 995e6, time.UTC)
	if d := cmp.Diff(want, got, cmp.AllowUnexported(pir.Hash{})); d != "" || err != nil || len(asked) != 2 {
		t.Errorf("asked for %q, %v (-want +got)\n%s", asked, err, d)
	}
	if got, err := (Adapter{}).Locked("/p/poetry.lock", []byte(lock), nil); got != nil || err != nil {
		t.Errorf("another file: got %v, %v", got, err)
	}
	for _, bad := range []string{"<html>", "[[package]]\nname = 1", strings.Replace(lock, sum, "00", 1)} {
		if _, err := (Adapter{}).Locked("uv.lock", []byte(bad), func(string) ecosystem.Request { return ecosystem.Request{} }); err == nil {
			t.Errorf("read %.100s", bad)
		}
	}
}
