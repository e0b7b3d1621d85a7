package source

import "github.com/MordragT/nuka/source/kind"

// Path is the kind of a file or folder beside a package file. The command uploads its tree.
const Path OriginKind = "path"

func pathKind() Kind {
	return Kind{
		Kind: kind.Kind{
			Name: string(Path), About: "A file or folder beside the package file.", More: "Evaluation reads it now, and its content is part of the package.",
			Local: true,
			Args:  []kind.Param{{Name: "path", Type: kind.String, About: "Relative to the package file.", Aside: true}},
			Flags: []kind.Param{
				{Name: "all", Type: kind.Switch, About: "Take .git folders too.", Aside: true},
				{Name: "gitignore", Type: kind.Switch, About: "Leave out files that the folder's .gitignore files match.", Aside: true},
			},
			Examples: []kind.Example{
				{Text: "fetch path ./src", About: "The sources beside the package file."},
				{Text: "fetch path . --gitignore", About: "Without the output of a compiler."},
			},
		},
		Doc: "Evaluation reads the file or folder, and its content is part of the package.\n" +
			"nuka leaves out `.git` folders unless the package says `--all`, and always leaves out sockets, pipes and devices.\n\n" +
			"```nu eval\nfetch path ./src\n```\n\n" +
			"`--gitignore` leaves out files that git ignores, such as the output of a compiler in a checkout, which would change the PID of the package.\n\n" +
			"```nu eval\nfetch path ./src --gitignore\n```\n\n" +
			"nuka reads the `.gitignore` files of the folder and of the folders in it, and `.git/info/exclude` if the folder is the top of a\n" +
			"repository. It reads no files above the folder and no user's own list (`core.excludesFile`), so the package is the same for\n" +
			"all users. It leaves out a file that a pattern matches even if the file was committed. Patterns are case-sensitive on every system.",
		Finds: "on this machine, relative to the package file",
		Check: func(Origin) error { return nil },
		Show:  func(Origin) string { return "a local path" },
	}
}
