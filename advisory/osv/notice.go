package osv

// A Notice is the class of a record that is no vulnerability: what the publisher of a release, or the maintainer of a distribution, says about its use.
// A feed gives it as database_specific.notice of a record of OSV.
type Notice string

// The notices, the worst first.
const (
	Retracted   Notice = "retracted"   // its author took the release back: Go
	Yanked      Notice = "yanked"      // the same: crates, PyPI (PEP 592)
	Unsupported Notice = "unsupported" // it gets no security updates any more: Debian
	Deprecated  Notice = "deprecated"  // its author advises against it: npm, Go
)

// Notices returns all notices, the worst first.
func Notices() []Notice { return []Notice{Retracted, Yanked, Unsupported, Deprecated} }
