#!/bin/bash
# Builds Lua from upstream source with clang, all of it in WebAssembly, and runs a script with it.
# The compiler comes from npm and Lua from Debian; where they are is taken from the configuration of npm and apt,
# so those are installed when they are missing.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v npm >/dev/null && ! grep -qs '^registry' "$HOME/.npmrc" /etc/npmrc && [ -z "${npm_config_registry:-}" ]; then
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update -q && apt-get install -qy --no-install-recommends npm
  fi
fi
if [ -n "${NUKA_HOME:-}" ]; then
  mkdir -p "$NUKA_HOME"
  NUKA_HOME=$(cd "$NUKA_HOME" && pwd) # the script runs elsewhere
  export NUKA_HOME
else
  unset NUKA_HOME
fi
script=$(mktemp -d)
trap 'rm -rf "$script"' EXIT
cat >"$script/primes.lua" <<'LUA'
local function primes(n)
  return coroutine.wrap(function()
    local composite = {}
    for i = 2, n do
      if not composite[i] then coroutine.yield(i) end
      for j = i * i, n, i do composite[j] = true end
    end
  end)
end
local t = {}
for p in primes(50) do t[#t + 1] = p end
print(_VERSION .. " in WebAssembly says: " .. table.concat(t, " "))
print("errors are caught: " .. tostring(not pcall(error, "thrown")))
LUA
nuka=$PWD/bin/nuka
cd "$script" && "$nuka" run lua -- primes.lua
