package adapters

import (
	"testing"

	"github.com/MordragT/nuka/ecosystem"
)

// TestNotices reads recordings of earlier versions of nuka, which tell notices in the text of their answers alone.
func TestNotices(t *testing.T) {
	answer := func(path, text string) ecosystem.Answer {
		r, err := ecosystem.ParseRequest(path)
		if err != nil {
			t.Fatal(err)
		}
		return ecosystem.Answer{Request: r, Status: 200, Text: text}
	}
	file := func(name, version string) ecosystem.Answer {
		return ecosystem.Answer{Status: 200, Kept: &ecosystem.Kept{Package: name, Version: version}}
	}
	const sum = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
	wheel := func(name, yanked string) string {
		return `{"filename":"` + name + `","url":"http://127.0.0.1:3128/x/` + name + `","hashes":{"sha256":"` + sum + `"},"yanked":` + yanked + `}`
	}
	pip := func(files string) ecosystem.Answer {
		return answer("pypi /six/ json", `{"meta":{"api-version":"1.1"},"name":"six","files":[`+files+`]}`)
	}
	npm := func(deprecated string) ecosystem.Answer {
		return answer("npm /six", `{"name":"six","versions":{"1.0.0":{"name":"six","version":"1.0.0","deprecated":`+deprecated+`,"dist":{"tarball":"http://127.0.0.1:3128/npm/six/-/six-1.0.0.tgz"}}}}`)
	}
	crate := func(yanked string) ecosystem.Answer {
		return answer("crate /3/s/six", `{"name":"six","vers":"1.0.0","deps":[],"cksum":"`+sum+`","features":{},"yanked":`+yanked+`}`+"\n")
	}
	mod := func(version, text string) ecosystem.Answer {
		return answer("go /example.org/six/@v/"+version+".mod", "module example.org/six\n"+text)
	}
	for _, c := range []struct {
		ecosystem, name, version string
		answers                  []ecosystem.Answer
		want                     string
	}{
		{"pip", "six", "1.0", []ecosystem.Answer{pip(wheel("six-1.0-py3-none-any.whl", "true"))}, "yanked"},
		{"pip", "six", "1.0", []ecosystem.Answer{pip(wheel("six-1.0-py3-none-any.whl", `"bad\u001b[31m\nbuild"`))}, "yanked: bad [31m build"},
		{"pip", "six", "1.0", []ecosystem.Answer{pip(wheel("six-1.0-py3-none-any.whl", `""`))}, ""},
		{"pip", "six", "1.0", []ecosystem.Answer{pip(wheel("six-1.0-py3-none-any.whl", "false"))}, ""},
		{"pip", "six", "1.0", []ecosystem.Answer{pip(wheel("six-1.0-cp39-none-any.whl", "true") + "," + wheel("six-1.0-py3-none-any.whl", "false"))}, ""},
		{"pip", "six", "1.0", []ecosystem.Answer{answer("pypi /six/ json", "no index")}, ""},
		{"npm", "six", "1.0.0", []ecosystem.Answer{npm(`"use seven"`)}, "deprecated: use seven"},
		{"npm", "six", "1.0.0", []ecosystem.Answer{npm(`""`)}, ""},
		{"cargo", "six", "1.0.0", []ecosystem.Answer{crate("true")}, "yanked"},
		{"cargo", "six", "1.0.0", []ecosystem.Answer{crate("false")}, ""},
		{"go", "example.org/six", "v1.0.0", []ecosystem.Answer{mod("v1.0.0", ""), mod("v1.1.0", "retract v1.0.0 // loses data\n")}, "retracted: loses data"},
		{"go", "example.org/six", "v1.0.0", []ecosystem.Answer{mod("v1.0.0", "retract v1.0.1\n")}, ""},
		{"go", "example.org/six", "v1.0.0", []ecosystem.Answer{answer("go /example.org/six/@v/v1.0.0.mod", "// Deprecated: use seven.\nmodule example.org/six\n")}, "deprecated: use seven."},
		{"go", "example.org/six", "v1.0.0", []ecosystem.Answer{answer("go /example.org/six/@v/v1.0.0.mod", "module example.org/other\nretract v1.0.0\n")}, ""},
	} {
		r := &ecosystem.Recording{Ecosystem: c.ecosystem, Door: ecosystem.DoorRegistry, Answers: append(c.answers, file(c.name, c.version))}
		if got := Notices(r)(c.name, c.version); got != c.want {
			t.Errorf("%s %s: got %q, want %q", c.ecosystem, c.answers[0].Text, got, c.want)
		}
	}
}
