#!/bin/bash
# Measures nuka beside the programs it is compared with: make bench local.
# Installs what is missing of them where it can (Debian's nix-bin and clang, wazero's command through the Go proxy),
# builds the packages that are measured, and leaves nothing behind but .cache.
#
#   ROUNDS=5   how often each candidate runs; short ones run four times as often
#   ONLY=      only these parts: eval,run,import,compile
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in
  local) ;;
  *) echo "usage: make bench local" >&2; exit 2 ;;
esac
export CGO_ENABLED=0
cache=$PWD/.cache/bench
mkdir -p "$cache/bin" "$cache/tmp"

missing=()
command -v npm >/dev/null || grep -qs '^registry' "$HOME/.npmrc" /etc/npmrc || [ -n "${npm_config_registry:-}" ] || missing+=(npm)
command -v clang >/dev/null || missing+=(clang)
command -v nix-store >/dev/null || missing+=(nix-bin)
if [ ${#missing[@]} -gt 0 ]; then
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "bench: installing ${missing[*]}" >&2
    { apt-get update -q && apt-get install -qy --no-install-recommends "${missing[@]}"; } >"$cache/apt.log" 2>&1 ||
      echo "bench: apt failed, see $cache/apt.log; those comparisons are left out" >&2
  else
    echo "bench: not installed, so not compared with: ${missing[*]}" >&2
  fi
fi
wazero=$cache/bin/wazero
if [ ! -x "$wazero" ]; then
  GOBIN=$cache/bin go install github.com/tetratelabs/wazero/cmd/wazero@v1.12.0 || wazero=
fi
go build -o "$cache/bin/bench" ./tools/bench
[ -x bin/nuka ] || go build -o bin/ ./cmd/nuka ./cmd/nukad

# A home of its own, so that no daemon that is in use is stopped. What is built in it is kept for the next time.
home=$cache/home
mkdir -p "$home"
trap 'NUKA_HOME=$home bin/nuka daemon stop >/dev/null 2>&1 || true; chmod -R u+w "$cache/tmp"; rm -rf "$cache/tmp"' EXIT
for pkg in lua hello; do
  NUKA_HOME=$home bin/nuka build "$pkg" >/dev/null
done
"$cache/bin/bench" -nuka bin/nuka -wazero "$wazero" -home "$home" -dir "$cache/tmp" -rounds "${ROUNDS:-5}" -only "${ONLY:-}"
