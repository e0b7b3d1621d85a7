// Package kind describes the kinds of sources for package files: the command `fetch NAME`, its flags and their defaults.
//
// A Kind is data. The engine of package files makes a command from each Kind in its Table, so a new kind needs no
// new engine. Package source holds the table, and finds and unpacks the bytes of each kind.
package kind

import (
	"fmt"
	"slices"

	"github.com/MordragT/nuka/pir"
)

// A Type is the type of a parameter.
type Type string

// The types of parameters.
const (
	String Type = "string"
	Int    Type = "int"
	// Switch is a flag without a value. If the flag is given, the origin's field is "true"; otherwise the origin lacks the field.
	Switch Type = "switch"
)

// A Param is a parameter or a flag of a fetch command.
type Param struct {
	Name  string `json:"name"`
	Type  Type   `json:"type"`
	About string `json:"about"` // one sentence
	// Aside reports that the parameter is not a field of the origin, which only says where the bytes are.
	Aside bool `json:"-"`
	// Excludes is the name of a flag that cannot be given beside this one; "" is none.
	Excludes string `json:"-"`
	// Needed makes a fetch without this flag an error, with the hint.
	Needed *Need `json:"-"`
}

// A Need is the error for a missing flag, with a hint.
type Need struct{ What, Hint string }

// Flags that most kinds have.
var (
	Hash = Param{
		Name: "hash", Type: String, Aside: true,
		About: "The expected hash: b3-… for the tree, or sha256-…, sha512-…, h1:… as the registry prints it.",
	}
	Strip  = Param{Name: "strip", Type: Int, Aside: true, About: "Leading folders to drop from every name of an archive."}
	Unpack = Param{Name: "unpack", Type: String, Aside: true, About: "file keeps it as one file, archive unpacks it."}
)

// Archive returns the flags of a kind whose outputs are archives: the common ones, then its own.
func Archive(own ...Param) []Param { return append([]Param{Hash, Strip, Unpack}, own...) }

// Release returns the parameters of a kind that fetches a release from a registry; about describes the name.
func Release(about string) []Param {
	return []Param{{Name: "name", Type: String, About: about}, {Name: "version", Type: String, About: "Its exact version."}}
}

// Downloaded is part of the help of each kind whose outputs are downloaded.
const Downloaded = "Evaluation downloads nothing. Without --hash the error prints the hash to paste."

// An Example is one example in a command's help.
type Example struct {
	Text  string `json:"example"`
	About string `json:"about"`
}

// A Kind is one kind of source, in the form that package files need.
type Kind struct {
	// Name is the name of the command after `fetch`, and the field kind of origins.
	Name     string    `json:"name"`
	About    string    `json:"about"` // one sentence, for help
	More     string    `json:"more"`  // further sentences
	Args     []Param   `json:"args"`  // required arguments, in this order
	Flags    []Param   `json:"flags"`
	Examples []Example `json:"examples"`
	// Local reports that the first argument is a path beside the package file in which it is written, and that the source is read during
	// evaluation.
	Local bool `json:"local"`
	// Recording reports that the local source is a recording of package ecosystem, which stands for the files that it names.
	Recording bool `json:"-"`
	// Unpacked returns the default of --unpack; nil means pir.UnpackArchive. Its argument has the fields of the origin, and the other
	// arguments and flags of the command, as texts.
	Unpacked func(Fields) pir.Unpack `json:"-"`
	// Stripped returns the default of --strip, the number of leading folders to drop from an archive's names; nil means none.
	Stripped func(Fields) int `json:"-"`
}

// Fields are the fields of an origin, without its kind.
type Fields map[string]string

// Field returns the parameter or flag that is a field of the kind's origins.
func (k *Kind) Field(name string) (Param, bool) {
	for _, p := range k.Fields() {
		if p.Name == name {
			return p, true
		}
	}
	return Param{}, false
}

// Fields returns the parameters and flags that are fields of the kind's origins.
func (k *Kind) Fields() []Param {
	return slices.DeleteFunc(slices.Concat(k.Args, k.Flags), func(p Param) bool { return p.Aside })
}

// Check returns an error about the first field that an origin of the kind cannot have.
func (k *Kind) Check(fields Fields) error {
	for name, text := range fields {
		p, ok := k.Field(name)
		if !ok {
			return fmt.Errorf("origin %s: field %q is unknown", k.Name, name)
		}
		if p.Type == Switch && text != "true" {
			return fmt.Errorf("origin %s: %s %q: want \"true\"", k.Name, name, text)
		}
	}
	return nil
}

// A Table holds the kinds of sources. The zero Table has none.
type Table struct {
	Kinds []Kind
	// Version identifies the code of the kinds: with other code, the same package files may give other packages.
	Version string
}

// Find returns the kind with a name, or nil.
func (t Table) Find(name string) *Kind {
	i := slices.IndexFunc(t.Kinds, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return nil
	}
	return &t.Kinds[i]
}
