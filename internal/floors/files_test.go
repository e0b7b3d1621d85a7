package floors

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestPackageComments checks that each package has exactly one package comment, which begins in the form of go doc.
func TestPackageComments(t *testing.T) {
	comments := map[string][]*source{}
	for _, s := range sources(t) {
		comments[s.pkg] = append(comments[s.pkg], nil)[:len(comments[s.pkg])]
		if s.ast.Doc.Text() != "" {
			comments[s.pkg] = append(comments[s.pkg], s)
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(comments)) {
		with := comments[pkg]
		if len(with) != 1 {
			var names []string
			for _, s := range with {
				names = append(names, s.name)
			}
			t.Errorf("%s has %d package comments, want 1: %v", pkg, len(with), names)
			continue
		}
		name := path.Base(pkg)
		want := "Package " + name + " "
		if with[0].ast.Name.Name == "main" {
			want = strings.ToUpper(name[:1]) + name[1:] + " "
		}
		if got := with[0].ast.Doc.Text(); !strings.HasPrefix(got, want) {
			first, _, _ := strings.Cut(got, "\n")
			t.Errorf("%s: the package comment begins %q, want %q", with[0].name, first, want)
		}
	}
}

// long lists the files that are longer than a file should be, and why they are.
var long = map[string]string{
	"node/swarm/hostile_test.go":      "one hostile peer after the other, which share their tricks",
	"nu/engine/src/commands/files.rs": "the file commands of the engine, one after the other, which share their helpers",
}

// large lists the packages that are larger than a package should be.
var large = map[string]string{
	"wasmrt":      "WASI, the file system programs see and the processes they run in are one wall, and their parts would be no use alone",
	"source":      "a file for each kind of source, with its documentation; they share the downloads and the user's configuration",
	"ecosystem":   "a recorder, a replayer and the doors before them share the answers and their checks; the protocols are packages of their own",
	"tools/bench": "a file for each suite of comparisons, which share the table and the peers",
	"cmd/nuka":    "a file for each group of commands, which share the terminal, the home and the connection",
}

const (
	maxFile     = 400  // lines of a file of code
	maxTest     = 500  // lines of a file of tests, or of the programs that they run
	maxFunction = 80   // lines of a function outside tests
	maxPackage  = 4000 // lines of a package without its tests
)

// longBecause begins a line of the comment of a function that is longer than maxFunction, and says why it is.
const longBecause = "Long: "

// isTest returns whether a file is only for tests.
func isTest(name string) bool {
	return strings.HasSuffix(name, "_test.go") || strings.Contains("/"+name, "/testdata/")
}

func TestFunctionLength(t *testing.T) {
	fset := token.NewFileSet()
	for _, name := range files(t) {
		if path.Ext(name) != ".go" || isTest(name) {
			continue
		}
		f, err := parser.ParseFile(fset, path.Join(root, name), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			n := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1
			listed := strings.Contains("\n"+fn.Doc.Text(), "\n"+longBecause)
			switch {
			case n > maxFunction && !listed:
				t.Errorf("%s: %s has %d lines, which is more than %d; divide it, or say why it is one in its comment: %s…", name, fn.Name.Name, n, maxFunction, longBecause)
			case n <= maxFunction && listed:
				t.Errorf("%s: %s has %d lines; its comment need not say why", name, fn.Name.Name, n)
			}
		}
	}
}

func TestLength(t *testing.T) {
	total := map[string]int{}
	for _, name := range files(t) {
		if !slices.Contains([]string{".go", ".rs", ".nu", ".sh"}, path.Ext(name)) {
			continue
		}
		body, _ := text(t, name)
		if strings.HasPrefix(body, "# nuka lock ") {
			continue // nuka lock writes it: a line for each package
		}
		n := strings.Count(body, "\n")
		most := maxFile
		if isTest(name) {
			most = maxTest
		}
		why, listed := long[name]
		switch {
		case n > most && why == "":
			t.Errorf("%s has %d lines, which is more than %d; divide it by step of the work, or list it with a reason", name, n, most)
		case n <= most && listed:
			t.Errorf("%s has %d lines; it need not be listed", name, n)
		}
		if path.Ext(name) == ".go" && !strings.HasSuffix(name, "_test.go") && !strings.Contains(name, "testdata/") {
			total[path.Dir(name)] += n
		}
	}
	for pkg, n := range total {
		if n > maxPackage && large[pkg] == "" {
			t.Errorf("%s has %d lines without tests, which is more than %d; divide it, or list it with a reason", pkg, n, maxPackage)
		}
	}
}

// A rule names text that files must not contain. Except lists the exceptions: a file, or a folder with a "/" at the end.
type rule struct {
	text   *regexp.Regexp
	why    string
	except map[string]string
	code   bool // check only Go files that are part of a program
}

// The patterns are written so that they do not match themselves.
var rules = []rule{
	{
		text: regexp.MustCompile(`\b(TODO|FIXME|XX[X])\b`),
		why:  "say which issue it waits for: TODO(#1): …",
		except: map[string]string{
			"internal/floors/files_test.go": "is about it",
		},
	},
	{
		text: regexp.MustCompile(`(?i)\b(npmjs|yarnpkg)[.](org|com)|\bpypi[.]org|pythonhosted[.]org|\bcrates[.]io|\b(proxy|sum)[.]golang[.]org|` +
			`\bgoproxy[.](io|cn)|\bdebian[.](org|net)`),
		why: "registries are found through the user's own configuration",
		except: map[string]string{
			"nu/engine/Cargo.lock": "a lock file says where things are from",
			"nu/digest_test.go":    "looks for it in the engine",

			"advisory/version/version.go":          "OSV's name of an ecosystem is that of a host",
			"cmd/nuka/testdata/script/audit.txtar": "OSV's name of an ecosystem is that of a host",
			"cmd/nuka/testdata/long/audit.txtar":   "OSV's name of an ecosystem is that of a host",
		},
	},
	{
		code: true,
		text: regexp.MustCompile(`\bos[.]Renam[e]\(`),
		why:  "a name that is not synced may be lost in a power cut: use internal/atomicfile, or list the file with a reason",
		except: map[string]string{
			"internal/atomicfile/":         "syncs the folder",
			"internal/kubo/":               "a program that is built again when it is lost",
			"cas/":                         "has steps of its own, which TestPowerLoss cuts",
			"node/swarm/peers/logstore.go": "a cache of what is announced: the next start announces again",
			"wasmrt/cache.go":              "a cache",
			"wasmrt/stub.go":               "a cache",
			"wasmrt/shared.go":             "a cache",
			"nu/cache.go":                  "a cache",
			"source/":                      "downloads and unpacked files, which are fetched again",
			"cmd/nuka/remote.go":           "a cache",
			"cmd/nuka/hook.go":             "launchers of a folder's environment, which the next entrance writes again",
			"cmd/nuka/serviceslog.go":      "a log of what a program printed",
			"node/tidy/":                   "what is removed",
		},
	},
	{
		code: true,
		text: regexp.MustCompile(`"hash/crc3[2]"`),
		why:  "a log whose records have a checksum uses internal/crclog",
		except: map[string]string{
			"internal/crclog/": "is that package",
			"source/archive/":  "ZIP files have checksums of that kind",
		},
	},
	{
		code: true,
		text: regexp.MustCompile(`strings[.](Contains|HasPrefix|HasSuffix|EqualFold|Cut|Index)[(][^,]*[.]Erro[r][(][)],|[.]Erro[r][(][)] [=!]= "`),
		why:  "no error is recognised by its text: wrap it with %w, and test it with errors.Is or errors.As",
		except: map[string]string{
			"wasmrt/run.go":   "wazero exports no errors of traps",
			"wasmrt/stack.go": "wazero exports no errors of traps",
		},
	},
	{
		text: regexp.MustCompile(machine + `(root|home/\w+|Users/\w+|tm[p]/w)/`),
		why:  "a path of one machine",
		except: map[string]string{
			"nu/digest_test.go": "looks for it in the engine",
		},
	},
	{
		text: regexp.MustCompile(machine + `wor[k]/`),
		why:  "a path of one machine",
		except: map[string]string{
			"nu/":              "where the engine sees the user's folder",
			"cmd/nuka/eval.go": "where the engine sees the user's folder",
		},
	},
}

// machine matches the start of an absolute path, but not of a part of a longer path or of a URL.
const machine = `(^|[^\w.}$/-])/`

// numbered matches a TODO with the number of an issue.
var numbered = regexp.MustCompile(`TODO\(#\d+\): \S`)

func TestWords(t *testing.T) {
	for _, name := range files(t) {
		body, ok := text(t, name)
		if !ok || name == "go.sum" {
			continue
		}
		code := strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") && !strings.Contains(name, "testdata/")
		for _, r := range rules {
			if r.code && !code {
				continue
			}
			if slices.ContainsFunc(slices.Collect(maps.Keys(r.except)), func(e string) bool {
				return e == name || strings.HasSuffix(e, "/") && strings.HasPrefix(name, e)
			}) {
				continue
			}
			n := 0
			for line := range strings.Lines(body) {
				n++
				if numbered.MatchString(line) {
					line = numbered.ReplaceAllString(line, "")
				}
				if found := r.text.FindString(line); found != "" {
					t.Errorf("%s:%d: %q: %s", name, n, found, r.why)
				}
			}
		}
	}
}

// TestHostilePage checks that every test named in docs/hostile.md exists.
func TestHostilePage(t *testing.T) {
	page, _ := text(t, "docs/hostile.md")
	have := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	for _, name := range files(t) {
		switch {
		case strings.HasSuffix(name, "_test.go"):
			body, _ := text(t, name)
			for _, m := range function.FindAllStringSubmatch(body, -1) {
				have[m[1]] = true
			}
		case strings.HasSuffix(name, ".txtar"):
			have[strings.TrimSuffix(path.Base(name), ".txtar")] = true
		}
	}
	named := regexp.MustCompile("`(Test\\w+|hostile_\\w+)").FindAllStringSubmatch(page, -1)
	if len(named) < 40 {
		t.Errorf("the page names %d tests; is its form another?", len(named))
	}
	for _, m := range named {
		if !have[m[1]] {
			t.Errorf("docs/hostile.md names %s, and there is no such test", m[1])
		}
	}
}
