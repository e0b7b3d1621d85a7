package profile

// The code of each shell for a command that is not found: nuka search --command prints which package has the command, and fails silently if none
// has. Then the shell, or the handler that was there before, says what it would say without nuka. @NUKA@ is nuka.

const bashNotFound = `if ! declare -F _nuka_missing >/dev/null; then
  if declare -F command_not_found_handle >/dev/null; then
    eval "_nuka_missing_before() $(declare -f command_not_found_handle | sed 1d)"
  fi
  _nuka_missing() { @NUKA@ search --command -- "$1"; }
  command_not_found_handle() {
    if _nuka_missing "$1" >&2; then return 127; fi
    if declare -F _nuka_missing_before >/dev/null; then _nuka_missing_before "$@"; return; fi
    printf 'bash: %s: command not found\n' "$1" >&2
    return 127
  }
fi
`

const zshNotFound = `if ! (( $+functions[_nuka_missing] )); then
  (( $+functions[command_not_found_handler] )) && functions -c command_not_found_handler _nuka_missing_before
  _nuka_missing() { @NUKA@ search --command -- "$1" }
  command_not_found_handler() {
    if _nuka_missing "$1" >&2; then return 127; fi
    if (( $+functions[_nuka_missing_before] )); then _nuka_missing_before "$@"; return; fi
    print -r -u2 -- "zsh: command not found: $1"
    return 127
  }
fi
`

const fishNotFound = `if not functions -q _nuka_missing
  functions -q fish_command_not_found; and functions -c fish_command_not_found _nuka_missing_before
  function _nuka_missing
    @NUKA@ search --command -- $argv[1]
  end
  function fish_command_not_found
    _nuka_missing $argv[1] >&2; and return 127
    if functions -q _nuka_missing_before
      _nuka_missing_before $argv
    else
      echo "fish: Unknown command: $argv[1]" >&2
    end
    return 127
  end
end
`

const nuNotFound = `$env.config.hooks.command_not_found = {|name| ^@NUKA@ search --command -- $name | complete | get stdout | str trim | if ($in | is-empty) { null } else { $in } }
`

const powershellNotFound = `$ExecutionContext.InvokeCommand.CommandNotFoundAction = {
  param($name, $found)
  if ($found.CommandOrigin -eq 'Runspace' -and $name -notlike 'get-*') {
    & @NUKA@ search --command -- $name | ForEach-Object { [Console]::Error.WriteLine($_) }
  }
}
`
