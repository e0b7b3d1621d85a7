#!/bin/bash
# Measures nuka beside the programs it is compared with:
#
#   make bench local   evaluation, runs, imports and compilation
#   make bench swarm   fetches from a peer, disk to disk over loopback, and what an idle node costs
#   make bench real    builds of 200 generated packages and of the package set, compared with tools/bench/real.tsv
#   make bench store   collections, installs and starts of installed programs
#   make bench exec    starts of foreign programs in the sandbox
#   make bench ecosystem  installs by package managers alone, recorded and replayed: asks the registries that they are configured for
#   make bench audit   audits of 400 parts, beside uv audit with a service on loopback, and updates of a feed
#   make bench services  the status of 50 services
#   make bench posix   programs with processes, configure scripts and makefiles, beside dash and gcc (and clang, if it is there), and builds after an error
#   make bench mount   reads of files through the mount and on the disk, in one run (as root)
#
# Installs what is missing of them where it can (by apt, and through Go's and npm's registries as they are configured),
# and leaves nothing behind but .cache. What cannot be installed is left out, and a line says so.
#
#   ROUNDS=5       how often each candidate runs (swarm, real, ecosystem: 3); short ones of local run four times as often
#   ONLY=          only these parts: eval,run,import,compile, and lists if it is named, or swarm,idle
#   WITH=          swarm: only these candidates: nuka,raw,kubo,iroh,nix,rsync,http
#                  ecosystem: only these: pip,uv,npm,cargo,go,Maven,disk,memory; managers that are not installed are left out in any case
#   SIZE=1GiB      swarm: the large file
#   FILES=10000    swarm: how many files of 4 KiB; 0 leaves them out
#   UPDATE=1       real: write tools/bench/real.tsv
#   VERBOSE=1      print each sample as it comes
set -euo pipefail
cd "$(dirname "$0")/.."
suite=${1:-}
case "$suite" in
  local) programs="clang:clang nix-store:nix-bin" ;;
  swarm) programs="nix:nix-bin rsync:rsync node:nodejs npm:npm ip:iproute2" ;;
  real) programs="nix-build:nix-bin" ;;
  store) programs="nix-store:nix-bin" ;;
  exec) programs="bwrap:bubblewrap runc:runc" ;;
  ecosystem | audit) programs="" ;;
  posix) programs="dash:dash gcc:gcc make:make" ;;
  mount) exec env CGO_ENABLED=0 go test -run '^$' -bench Mount -benchtime "${ROUNDS:-10}x" ./fsmount ;;
  services) exec env CGO_ENABLED=0 go test -run '^$' -bench Services -benchtime "${ROUNDS:-20}x" ./cmd/nuka ;;
  *) echo "usage: make bench local|swarm|real|store|exec|ecosystem|audit|posix|services|mount" >&2; exit 2 ;;
esac
export CGO_ENABLED=0
cache=$PWD/.cache/bench
mkdir -p "$cache/bin" "$cache/tmp"

missing=()
for p in $programs; do
  command -v "${p%%:*}" >/dev/null || missing+=("${p##*:}")
done
if [ "$suite" = local ]; then # clang's package comes from npm, whose configuration is enough
  command -v npm >/dev/null || grep -qs '^registry' "$HOME/.npmrc" /etc/npmrc || [ -n "${npm_config_registry:-}" ] || missing+=(npm)
fi
if [ ${#missing[@]} -gt 0 ]; then
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "bench: installing ${missing[*]}" >&2
    { apt-get update -q && apt-get install -qy --no-install-recommends "${missing[@]}"; } >"$cache/apt.log" 2>&1 ||
      echo "bench: apt failed, see $cache/apt.log; those comparisons are left out" >&2
  else
    echo "bench: not installed, so not compared with: ${missing[*]}" >&2
  fi
fi
go build -o "$cache/bin/bench" ./tools/bench
[ -x bin/nuka-sandbox ] || go build -o bin/ ./cmd/nuka ./cmd/nukad ./cmd/nuka-sandbox
flags=(-nuka bin/nuka -dir "$cache/tmp")
[ -z "${VERBOSE:-}" ] || flags+=(-v)

# measure_local builds the packages that are measured in a home of its own, so that no daemon that is in use is stopped.
# What is built in it is kept for the next time.
measure_local() {
  local wazero=$cache/bin/wazero home=$cache/home
  if [ ! -x "$wazero" ]; then
    GOBIN=$cache/bin go install github.com/tetratelabs/wazero/cmd/wazero@v1.12.0 || wazero=
  fi
  mkdir -p "$home"
  trap 'NUKA_HOME=$cache/home bin/nuka daemon stop >/dev/null 2>&1 || true; clean' EXIT
  for pkg in lua hello; do
    NUKA_HOME=$home bin/nuka build "$pkg" >/dev/null
  done
  "$cache/bin/bench" "${flags[@]}" -wazero "$wazero" -home "$home" -rounds "${ROUNDS:-5}" -only "${ONLY:-eval,run,import,compile}"
}

# kubo builds kubo once.
kubo() {
  [ -x "$cache/bin/ipfs" ] || echo "bench: building kubo, which takes some minutes" >&2
  "$cache/bin/bench" kubo "$cache" >"$cache/kubo.log" 2>&1
}

# iroh installs iroh's last release that has blobs for npm, once.
iroh() {
  [ ! -d "$cache/iroh/node_modules/@number0/iroh" ] || return 0
  mkdir -p "$cache/iroh"
  echo '{"private": true}' >"$cache/iroh/package.json"
  (cd "$cache/iroh" && npm install --no-audit --no-fund @number0/iroh@0.35.0) >"$cache/iroh.log" 2>&1
}

# measure_swarm runs where there is no network but loopback, so that no packet of anybody's leaves this machine.
# The small files are on a file system of their own, new and in a file: on ext4, files are made up to ten times as slowly
# where many were removed in the last minutes, and whom that hits is chance. It goes with the namespace it is mounted in.
measure_swarm() {
  local fresh=$cache/tmp/fresh disk=$cache/tmp/disk
  local ipfs=$cache/bin/ipfs module=$cache/iroh/node_modules/@number0/iroh raw=$cache/bin/swarm.test
  kubo || { ipfs=; echo "bench: kubo cannot be built, see $cache/kubo.log; it is left out" >&2; }
  iroh || { module=; echo "bench: iroh cannot be installed, see $cache/iroh.log; it is left out" >&2; }
  go test -c -o "$raw" ./node/swarm
  local run=("$cache/bin/bench" "${flags[@]}" -rounds "${ROUNDS:-3}" -only "${ONLY:-swarm,idle}" -with "${WITH:-}"
    -size "${SIZE:-1GiB}" -files "${FILES:-10000}" -ipfs "$ipfs" -iroh tools/bench/iroh.mjs -iroh-module "$module" -raw "$raw")
  local alone=(unshare -nmpf --mount-proc --kill-child) setup='ip link set lo up' mount='mount -o loop "$disk" "$fresh"'
  if [ "$(id -u)" != 0 ]; then
    alone=(unshare -rnmpf --mount-proc --kill-child)
  elif mkdir -p "$fresh" && truncate -s 16G "$disk" && mkfs.ext4 -q -F "$disk" 2>/dev/null &&
    disk=$disk fresh=$fresh unshare -m sh -c "$mount" 2>/dev/null; then
    setup="$setup && $mount"
    run+=(-fresh "$fresh")
  fi
  case "${run[*]}" in
    *-fresh*) ;;
    *) echo "bench: no new file system can be mounted here: the figures of small files may be chance" >&2 ;;
  esac
  if "${alone[@]}" sh -c 'ip link set lo up' 2>/dev/null; then
    disk=$disk fresh=$fresh "${alone[@]}" sh -c "$setup"' && exec "$@"' sh "${run[@]}"
  else
    echo "bench: there are no network namespaces here: iroh and the idle node are left out" >&2
    "${run[@]}"
  fi
}

# measure_real keeps the sources of the package set, which it downloads once, in a home of their own.
measure_real() {
  [ -z "${UPDATE:-}" ] || flags+=(-update)
  "$cache/bin/bench" "${flags[@]}" -home "$cache/sources" -rounds "${ROUNDS:-3}" -only real
}

# measure_store builds lua in the home of measure_local; its collections and installs have homes of their own.
measure_store() {
  local home=$cache/home
  mkdir -p "$home"
  trap 'NUKA_HOME=$cache/home bin/nuka daemon stop >/dev/null 2>&1 || true; clean' EXIT
  NUKA_HOME=$home bin/nuka build lua >/dev/null
  "$cache/bin/bench" "${flags[@]}" -home "$home" -rounds "${ROUNDS:-5}" -only store
}

# measure_posix builds in the home of measure_local.
measure_posix() {
  local home=$cache/home
  mkdir -p "$home"
  trap 'NUKA_HOME=$cache/home bin/nuka daemon stop >/dev/null 2>&1 || true; clean' EXIT
  NUKA_HOME=$home bin/nuka build hello >/dev/null
  "$cache/bin/bench" "${flags[@]}" -home "$home" -rounds "${ROUNDS:-3}" -only posix
}

# measure_exec keeps the runtimes, which it downloads once, in the home of measure_local.
measure_exec() {
  local home=$cache/home
  mkdir -p "$home"
  trap 'NUKA_HOME=$cache/home bin/nuka daemon stop >/dev/null 2>&1 || true; clean' EXIT
  "$cache/bin/bench" "${flags[@]}" -home "$home" -rounds "${ROUNDS:-5}" -only exec
}

# measure_ecosystem installs uv by pip and pnpm by npm, once, in the cache.
measure_ecosystem() {
  local python=$cache/python pnpm=$cache/pnpm/node_modules/.bin/pnpm
  if [ ! -x "$python/bin/pip" ]; then
    python3 -m venv "$python" 2>"$cache/python.log" || { python=; echo "bench: there is no Python with venv: pip and uv are left out" >&2; }
  fi
  if [ -n "$python" ] && [ ! -x "$python/bin/uv" ]; then
    "$python/bin/python" -m pip install -q -U pip uv >"$cache/python.log" 2>&1 || echo "bench: pip cannot install uv, see $cache/python.log" >&2
  fi
  if [ ! -x "$pnpm" ]; then
    mkdir -p "$cache/pnpm"
    npm install --prefix "$cache/pnpm" --no-audit --no-fund pnpm@9 >"$cache/pnpm.log" 2>&1 || pnpm=
  fi
  "$cache/bin/bench" "${flags[@]}" -rounds "${ROUNDS:-3}" -only ecosystem -with "${WITH:-}" -python "$python" -pnpm "$pnpm"
}

# measure_audit installs uv by pip, once, in the cache.
measure_audit() {
  local python=$cache/python
  if [ ! -x "$python/bin/uv" ]; then
    { python3 -m venv "$python" && "$python/bin/python" -m pip install -q uv; } >"$cache/python.log" 2>&1 ||
      { python=; echo "bench: uv cannot be installed, see $cache/python.log; it is left out" >&2; }
  fi
  "$cache/bin/bench" "${flags[@]}" -rounds "${ROUNDS:-5}" -only audit -python "$python"
}

clean() { chmod -R u+w "$cache/tmp" && rm -rf "$cache/tmp"; }
trap clean EXIT
"measure_$suite"
