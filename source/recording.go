package source

import "github.com/MordragT/nuka/source/kind"

// Recording is the kind of a recording of a package manager's requests, and of the files that it names.
const Recording OriginKind = "recording"

func recordingKind() Kind {
	return Kind{
		Kind: kind.Kind{
			Name: string(Recording), About: "A recording of what a package manager asked, with the files that it got.",
			More:  "nuka lock makes it. A native build with a recording has no network but its answers.",
			Local: true, Recording: true,
			Args: []kind.Param{{Name: "path", Type: kind.String, About: "Relative to the package file.", Aside: true}},
			Flags: []kind.Param{
				{Name: "ecosystem", Type: kind.String, About: "Whose requests nuka lock records: pip, npm, cargo, go or maven.", Aside: true},
				{Name: "door", Type: kind.String, About: "How the package manager reaches the recorder: registry or proxy.", Aside: true},
			},
			Examples: []kind.Example{{Text: "fetch recording ./recording.nuon --ecosystem pip", About: "The recording beside the package file."}},
		},
		Doc: "It is the value of the field `recording` of a native build ([languages.md](languages.md)). Evaluation reads the recording; each file that it names is a `fetch` of its own,\n" +
			"with its BLAKE3 hash, from the store, from other nodes, or from the registry.\n\n```nu eval\nfetch recording ./recording.nuon --ecosystem pip\n```",
		Finds: "on this machine, relative to the package file",
		Check: func(Origin) error { return nil },
		Show:  func(Origin) string { return "a recording" },
	}
}
