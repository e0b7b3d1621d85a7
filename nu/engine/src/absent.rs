//! Words that are commands of Nushell but not here, and why.

const NETWORK: &str = "evaluation and builds have no network: use `fetch url` for a source";
const CLOCK: &str = "there is no clock: the same package file must always give the same package";
const RANDOM: &str = "there is no randomness: the same package file must always give the same package";
const HOST: &str = "a package file sees nothing of this machine";
const THREADS: &str = "use `run-all` to run many programs at once";
const MODULES: &str = "read other package files with `use`";
const SHELL: &str = "that is for an interactive shell";
const SQL: &str = "there is no database: run a program with ^sqlite3";

/// First words (or first two) of commands that are left out, sorted, with the reason.
const ABSENT: &[(&str, &str)] = &[
    ("alias", "write a command with `def` instead"),
    ("ansi", SHELL),
    ("ast", SHELL),
    ("cal", CLOCK),
    ("clear", SHELL),
    ("commandline", SHELL),
    ("complete", "use `run-all --ignore-errors [[program argument …]]`, which returns exit, stdout and stderr"),
    ("config", HOST),
    ("date", CLOCK),
    ("debug", SHELL),
    ("du", "use `ls` or `glob`"),
    ("env", "the environment holds PWD, and in a build what `env` of the derivation sets: read it as $env.NAME"),
    ("exec", "run a program with ^name"),
    ("exit", "use `error make` to stop with a message"),
    ("explain", SHELL),
    ("explore", SHELL),
    ("export alias", "write a command with `def` instead"),
    ("export extern", "programs are written ^name and need no declaration"),
    ("export-env", "use the field `env` of the derivation"),
    ("extern", "programs are written ^name and need no declaration"),
    ("help", SHELL),
    ("hide", SHELL),
    ("hide-env", "use `with-env` for a part of the closure"),
    ("history", SHELL),
    ("http", NETWORK),
    ("input", SHELL),
    ("interleave", THREADS),
    ("into datetime", CLOCK),
    ("into matrix", "use lists"),
    ("is-admin", HOST),
    ("is-terminal", HOST),
    ("job", THREADS),
    ("keybindings", SHELL),
    ("kill", HOST),
    ("ln", "use `symlink TARGET LINK`"),
    ("mktemp", "write below /tmp or in the build folder"),
    ("nu", HOST),
    ("nu-check", SHELL),
    ("overlay", MODULES),
    ("par-each", THREADS),
    ("path expand", "paths are relative to the build folder: use `path join`"),
    ("plugin", HOST),
    ("port", NETWORK),
    ("ps", HOST),
    ("query", "use `from json`, `from xml` or a program of the inputs"),
    ("random", RANDOM),
    ("run", "run a program with ^name, many at once with `run-all`"),
    ("run-internal", SHELL),
    ("schema", SQL),
    ("seq date", CLOCK),
    ("sleep", CLOCK),
    ("source", MODULES),
    ("source-env", MODULES),
    ("start", HOST),
    ("stor", SQL),
    ("sys", HOST),
    ("table", "print the value, or use `to json`"),
    ("tee", "save the value, then use it"),
    ("term", HOST),
    ("timeit", CLOCK),
    ("ulimit", HOST),
    ("uname", HOST),
    ("version", HOST),
    ("view", SHELL),
    ("watch", SHELL),
    ("whoami", HOST),
];

/// Why the command of two words that `text` begins with is not here.
pub fn pair(text: &str) -> Option<(String, &'static str)> {
    reason(text).filter(|(name, _)| name.contains(' '))
}

/// Why the command that `text` begins with is not here.
pub fn reason(text: &str) -> Option<(String, &'static str)> {
    let words: Vec<&str> = text.split_whitespace().take(2).map(|w| w.trim_end_matches([')', ']', '}', ';', '|'])).collect();
    [words.join(" "), words.first().map(|w| w.to_string()).unwrap_or_default()]
        .into_iter()
        .find_map(|name| ABSENT.iter().find(|(n, _)| *n == name).map(|(_, why)| (name, *why)))
}
