package wasmrt

// nukaCalls are the calls of module "nuka" except host.
var nukaCalls = []hostFunc{
	{"exec", "iiiiiiii", nukaExec},
}

func nukaExec(p *proc, m memory, a []uint64) errno { return eNosys }

// A Command is one run of a program by name.
type Command struct{}

// A LimitError says which limit of a set of programs was hit.
type LimitError struct{ What string }

func (e *LimitError) Error() string { return e.What }
