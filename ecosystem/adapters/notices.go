package adapters

import "github.com/MordragT/nuka/ecosystem"

// A release is a version of a package, as its registry names it.
type release struct{ name, version string }

// Notices returns a function that tells what the answers in a recording say against a release whose files it has: recordings of earlier versions of nuka do not tell it
// with the file (ecosystem.Kept). A release is yanked if all its files that the index names are. An answer that cannot be read says nothing.
func Notices(r *ecosystem.Recording) func(name, version string) string {
	out := notices(r)
	return func(name, version string) string { return out[release{name, version}] }
}

func notices(r *ecosystem.Recording) map[release]string {
	a, err := Named(r.Ecosystem)
	if err != nil {
		return nil
	}
	used, out, fine := map[string][]string{}, map[release]string{}, map[release]bool{}
	for i := range r.Answers {
		if k := r.Answers[i].Kept; k != nil && k.Package != "" {
			used[k.Package] = append(used[k.Package], k.Version)
		}
	}
	noticer, _ := a.(ecosystem.Noticer)
	for i := range r.Answers {
		answer := &r.Answers[i]
		if answer.Status != 200 || answer.Text == "" {
			continue
		}
		if noticer != nil {
			if name, about, ok := noticer.Notices(answer.Request, []byte(answer.Text)); ok {
				for _, v := range used[name] {
					if says := about(v); says != "" {
						out[release{name, v}] = says
					}
				}
			}
			continue // its indexes are lists of versions
		}
		if a.Classify(answer.Request) != ecosystem.Index {
			continue
		}
		files, err := a.Read(answer.Request, ecosystem.Base+"/", answer.Type, []byte(answer.Text), func(string) ecosystem.Request { return ecosystem.Request{} })
		if err != nil {
			continue
		}
		for j := range files {
			f := &files[j]
			at := release{f.Package, f.Version}
			if f.Notice == "" {
				fine[at] = true
			} else {
				out[at] = f.Notice
			}
		}
	}
	for at := range fine {
		delete(out, at)
	}
	return out
}
