package source

import "github.com/MordragT/nuka/source/kind"

// Path is the kind of a file or folder beside a package file. The command uploads its tree.
const Path OriginKind = "path"

func pathKind() Kind {
	return Kind{
		Kind: kind.Kind{
			Name: string(Path), About: "A file or folder beside the package file.", More: "It is read now, and its content is part of the package.",
			Local: true,
			Args:  []kind.Param{{Name: "path", Type: kind.String, About: "Relative to the file that says it.", Aside: true}},
			Flags: []kind.Param{
				{Name: "all", Type: kind.Switch, About: "Take .git folders too.", Aside: true},
				{Name: "gitignore", Type: kind.Switch, About: "Leave out what the .gitignore files of the folder name.", Aside: true},
			},
			Examples: []kind.Example{
				{Text: "fetch path ./src", About: "The sources beside the package file."},
				{Text: "fetch path . --gitignore", About: "Without what a compiler left there."},
			},
		},
		Doc: "It is read when the file is evaluated, and its content is part of the package.\n" +
			"`.git` folders are left out, unless `--all` is given; sockets, pipes and devices always are.\n\n" +
			"```nu eval\nfetch path ./src\n```\n\n" +
			"`--gitignore` leaves out what git ignores, such as the output of a compiler in a checkout, which would change the PID of the package.\n\n" +
			"```nu eval\nfetch path ./src --gitignore\n```\n\n" +
			"What counts are the `.gitignore` files of the folder and of the folders in it, and `.git/info/exclude` if the folder is the top of a\n" +
			"repository. Files above the folder do not count, nor does a user's own list (`core.excludesFile`): the package is to be the same for\n" +
			"everybody. A file that a pattern matches is left out even if it was committed. Patterns are compared with their case on every system.",
		Finds: "on this machine, relative to the package file",
		Check: func(Origin) error { return nil },
		Show:  func(Origin) string { return "a local path" },
	}
}
