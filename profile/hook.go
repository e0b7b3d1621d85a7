package profile

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/MordragT/nuka/protocol"
)

// EnterCommand is the hidden command of nuka that a hook calls before each prompt: nuka EnterCommand SHELL.
const EnterCommand = "__enter"

// shells has the hook of each shell, and how the shell sets variables.
var shells = map[string]struct {
	hook   string
	quote  func(string) string
	set    func(name, value string) string
	unset  func(name string) string
	record bool // Assign writes JSON
}{
	"bash":       {hook: bashHook, quote: quote, set: setSh, unset: unsetSh},
	"zsh":        {hook: zshHook, quote: quote, set: setSh, unset: unsetSh},
	"fish":       {hook: fishHook, quote: quoteFish, set: setFish, unset: func(name string) string { return "set -e " + name + ";\n" }},
	"nu":         {hook: nuHook, quote: quoteNu, record: true},
	"powershell": {hook: powershellHook, quote: quotePower, set: setPower, unset: func(name string) string { return "Remove-Item -ErrorAction Ignore Env:" + name + "\n" }},
}

// Shells returns the names of the shells that Hook knows, sorted.
func Shells() []string { return slices.Sorted(maps.Keys(shells)) }

// Hook returns the code that a user's shell runs at its start. It puts the profile into PATH, MANPATH and the paths of completions, each once
// however often it runs, enters the folders that the user allowed, and says which package has a command that is missing. current is the link to the generation in use, program is nuka.
func Hook(shell, program, current string) (string, error) {
	s, ok := shells[shell]
	if !ok {
		return "", protocol.Errorf(protocol.Invalid, "hook: %.40q is not a shell that nuka knows", shell).WithHint("it knows %s", strings.Join(Shells(), ", "))
	}
	if strings.ContainsAny(program+current, "\n\r") {
		return "", protocol.Errorf(protocol.Invalid, "hook: a path has a line feed, which hooks cannot hold")
	}
	return strings.NewReplacer(
		"@NUKA@", s.quote(program), "@BIN@", s.quote(filepath.Join(current, "bin")), "@MAN@", s.quote(filepath.Join(current, "tree", "share", "man")),
		"@SHARE@", s.quote(filepath.Join(current, "tree", "share")), "@ENTER@", EnterCommand,
	).Replace(s.hook), nil
}

// Assign returns code that sets variables, and removes those whose value is nil.
func Assign(shell string, variables map[string]*string) (string, error) {
	s, ok := shells[shell]
	if !ok {
		return "", protocol.Errorf(protocol.Invalid, "%.40q is not a shell that nuka knows", shell)
	}
	if s.record {
		b, err := json.Marshal(variables)
		return string(b) + "\n", err
	}
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		if v := variables[name]; v != nil {
			out.WriteString(s.set(name, *v))
		} else {
			out.WriteString(s.unset(name))
		}
	}
	return out.String(), nil
}

func setSh(name, value string) string { return fmt.Sprintf("export %s=%s\n", name, quote(value)) }
func unsetSh(name string) string      { return "unset " + name + "\n" }

func setFish(name, value string) string {
	if name == "PATH" || name == "MANPATH" {
		return fmt.Sprintf("set -gx %s (string split : -- %s);\n", name, quoteFish(value))
	}
	return fmt.Sprintf("set -gx %s %s;\n", name, quoteFish(value))
}

func quoteFish(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}

func setPower(name, value string) string {
	return fmt.Sprintf("$env:%s = %s\n", name, quotePower(value))
}

// quotePower doubles all signs that PowerShell reads as a single quote.
func quotePower(s string) string {
	return "'" + strings.NewReplacer("'", "''", "\u2018", "\u2018\u2018", "\u2019", "\u2019\u2019", "\u201a", "\u201a\u201a", "\u201b", "\u201b\u201b").Replace(s) + "'"
}

// quoteNu writes a double-quoted string of Nushell.
func quoteNu(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// paths sets PATH, MANPATH and XDG_DATA_DIRS in bash and zsh. An empty part of MANPATH stands for the paths of the system.
const paths = `case ":$PATH:" in *:@BIN@:*) ;; *) PATH=@BIN@:$PATH ;; esac
case ":${MANPATH-}:" in *:@MAN@:*) ;; *) MANPATH=@MAN@:${MANPATH-} ;; esac
XDG_DATA_DIRS=${XDG_DATA_DIRS:-/usr/local/share:/usr/share}
case ":$XDG_DATA_DIRS:" in *:@SHARE@:*) ;; *) XDG_DATA_DIRS=@SHARE@:$XDG_DATA_DIRS ;; esac
export PATH MANPATH XDG_DATA_DIRS
_nuka_enter() {
  local before=$? dir=$PWD
  while [ -n "$dir" ] && [ ! -f "$dir/nuka.nu" ]; do dir=${dir%/*}; done
  if [ -n "$dir" ] || [ -n "${NUKA_DIR-}" ]; then eval "$(@NUKA@ @ENTER@ @SHELL@)"; fi
  return $before
}
`

var bashHook = "# nuka's hook for bash: eval \"$(nuka hook bash)\"\n" + strings.ReplaceAll(paths, "@SHELL@", "bash") +
	`case ";${PROMPT_COMMAND[*]-};" in *";_nuka_enter;"*) ;; *) PROMPT_COMMAND="_nuka_enter${PROMPT_COMMAND:+;$PROMPT_COMMAND}" ;; esac
` + bashNotFound

var zshHook = "# nuka's hook for zsh, before compinit: eval \"$(nuka hook zsh)\"\n" + strings.ReplaceAll(paths, "@SHELL@", "zsh") +
	`[[ ${fpath[(Ie)@SHARE@/zsh/site-functions]} -gt 0 ]] || fpath=(@SHARE@/zsh/site-functions $fpath)
autoload -Uz add-zsh-hook && add-zsh-hook precmd _nuka_enter
` + zshNotFound

const fishHook = `# nuka's hook for fish: nuka hook fish | source
contains -- @BIN@ $PATH; or set -gx PATH @BIN@ $PATH
contains -- @MAN@ $MANPATH; or set -gx MANPATH @MAN@ $MANPATH ''
set -q XDG_DATA_DIRS; or set -gx XDG_DATA_DIRS /usr/local/share:/usr/share
string match -q -- '*:'@SHARE@':*' ":$XDG_DATA_DIRS:"; or set -gx XDG_DATA_DIRS @SHARE@":$XDG_DATA_DIRS"
contains -- @SHARE@/fish/vendor_completions.d $fish_complete_path; or set -g fish_complete_path @SHARE@/fish/vendor_completions.d $fish_complete_path
function _nuka_enter --on-event fish_prompt
  set -l before $status
  set -l dir $PWD
  while test -n "$dir"; and not test -f "$dir/nuka.nu"
    set dir (string replace -r '/[^/]*$' '' -- $dir)
  end
  if test -n "$dir"; or set -q NUKA_DIR
    @NUKA@ @ENTER@ fish | source
  end
  return $before
end
` + fishNotFound

const nuHook = `# nuka's hook for Nushell: nuka hook nu | save -f ($nu.default-config-dir | path join nuka.nu); in config.nu: source nuka.nu
$env.PATH = ($env.PATH | if ($in | describe) == "string" { split row (char esep) } else { $in } | prepend @BIN@ | uniq)
$env.MANPATH = (@MAN@ + (char esep) + ($env.MANPATH? | default "" | split row (char esep) | where {|it| $it != @MAN@ } | str join (char esep)))
$env.XDG_DATA_DIRS = ($env.XDG_DATA_DIRS? | default "/usr/local/share:/usr/share" | split row (char esep) | prepend @SHARE@ | uniq | str join (char esep))
$env.config.hooks.pre_prompt = ($env.config.hooks?.pre_prompt? | default [] | where {|it| not (($it | describe) == "string" and $it =~ "@ENTER@") } | append r#'
  let text = (^@NUKA@ @ENTER@ nu | complete)
  if ($text.stderr | is-not-empty) { print -e ($text.stderr | str trim) }
  let change = ($text.stdout | if ($in | is-empty) { {} } else { from json })
  for name in ($change | columns) { if ($change | get $name) == null { hide-env -i $name } }
  let set = ($change | transpose name value | where value != null | reduce -f {} {|it, all| $all | upsert $it.name (if $it.name == "PATH" { $it.value | split row (char esep) } else { $it.value }) })
  load-env $set
'#)
` + nuNotFound

const powershellHook = `# nuka's hook for PowerShell, in $PROFILE: nuka hook powershell | Out-String | Invoke-Expression
$nukaSeparator = [IO.Path]::PathSeparator
if (($env:PATH -split $nukaSeparator) -notcontains @BIN@) { $env:PATH = @BIN@ + $nukaSeparator + $env:PATH }
if (("$env:MANPATH" -split $nukaSeparator) -notcontains @MAN@) { $env:MANPATH = @MAN@ + $nukaSeparator + $env:MANPATH }
if (-not $env:XDG_DATA_DIRS) { $env:XDG_DATA_DIRS = '/usr/local/share:/usr/share' }
if (($env:XDG_DATA_DIRS -split $nukaSeparator) -notcontains @SHARE@) { $env:XDG_DATA_DIRS = @SHARE@ + $nukaSeparator + $env:XDG_DATA_DIRS }
if (-not (Test-Path Function:nukaPrompt)) {
  Copy-Item Function:prompt Function:global:nukaPrompt
  function global:prompt {
    $code = & @NUKA@ @ENTER@ powershell | Out-String
    if ($code) { Invoke-Expression $code }
    nukaPrompt
  }
}
` + powershellNotFound
