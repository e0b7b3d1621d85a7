// Package kind says what a kind of source is to package files: the command `fetch NAME`, its flags, and what it takes if they say nothing.
//
// A Kind is data. The engine of package files makes a command of each Kind in the Table that it is given, so a new kind needs no
// new engine. How the bytes of a kind are found and unpacked is for package source, which holds the table.
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
	// Switch is a flag without a value. The field of an origin says "true" if it is given, and is left out otherwise.
	Switch Type = "switch"
)

// A Param is a parameter or a flag of a fetch command.
type Param struct {
	Name  string `json:"name"`
	Type  Type   `json:"type"`
	About string `json:"about"` // one sentence
	// Aside says that it is not a field of the origin: it does not say where the bytes are.
	Aside bool `json:"-"`
	// Needed says that a fetch without this flag is refused; its hint is what to write.
	Needed *Need `json:"-"`
}

// A Need says what a fetch lacks without a flag, and what to write.
type Need struct{ What, Hint string }

// The flags that most kinds share.
var (
	Hash = Param{
		Name: "hash", Type: String, Aside: true,
		About: "The expected hash: b3-… for the tree, or sha256-…, sha512-…, h1:… as the registry prints it.",
	}
	Strip  = Param{Name: "strip", Type: Int, Aside: true, About: "Leading folders to drop from every name of an archive."}
	Unpack = Param{Name: "unpack", Type: String, Aside: true, About: "file keeps it as one file, archive unpacks it."}
)

// Archive returns the flags of a kind whose outputs are archives: the shared ones, then its own.
func Archive(own ...Param) []Param { return append([]Param{Hash, Strip, Unpack}, own...) }

// Release returns the parameters of a kind that takes a release of a registry; about says what the name is.
func Release(about string) []Param {
	return []Param{{Name: "name", Type: String, About: about}, {Name: "version", Type: String, About: "Its exact version."}}
}

// Downloaded is what the help of each kind says whose outputs are downloaded.
const Downloaded = "Evaluation downloads nothing. Without --hash the error prints the hash to paste."

// An Example shows what a command is good for.
type Example struct {
	Text  string `json:"example"`
	About string `json:"about"`
}

// A Kind is one kind of source, as package files see it.
type Kind struct {
	// Name is the name of the command behind `fetch`, and the field kind of origins.
	Name     string    `json:"name"`
	About    string    `json:"about"` // one sentence, for help
	More     string    `json:"more"`  // more of it
	Args     []Param   `json:"args"`  // what must be given, in this order
	Flags    []Param   `json:"flags"`
	Examples []Example `json:"examples"`
	// Local says that the source lies beside the package file and is read while the file is evaluated.
	Local bool `json:"-"`
	// Unpacked is how its bytes become a tree if --unpack does not say; nil is pir.UnpackArchive.
	Unpacked func(Fields) pir.Unpack `json:"-"`
	// Stripped is how many leading folders are dropped from the names of an archive if --strip does not say; nil is none.
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

// Check reports the first field that no origin of the kind can have.
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

// A Table is the kinds of sources that there are. The zero Table has none.
type Table struct {
	Kinds []Kind
	// Version names the code behind the kinds: with another one, the same package files may give other packages.
	Version string
}

// Find returns the kind of a name, or nil.
func (t Table) Find(name string) *Kind {
	i := slices.IndexFunc(t.Kinds, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return nil
	}
	return &t.Kinds[i]
}
