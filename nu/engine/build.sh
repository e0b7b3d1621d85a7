#!/bin/bash
# Builds the embedded Nushell: nu/engine.wasm.zst, and nu/engine.digest, the digest of what it was built from.
# Reproducible: the artefact holds no time and no path of the machine it was built on.
# Needs Debian's Rust (for its WebAssembly-ready LLVM and its source of std) and the crates registry of cargo's configuration.
set -euo pipefail
cd "$(dirname "$0")"
here=$PWD
target=wasm32-wasip1
sysroot=$here/target/sysroot
rustlib=$sysroot/lib/rustlib/$target/lib

packages="rustc-web cargo-web rust-web-src wasi-libc lld-22 zstd"
# shellcheck disable=SC2086
if ! dpkg -s $packages >/dev/null 2>&1; then
  apt-get update -q && apt-get install -y --no-install-recommends $packages
fi
export RUSTC=/usr/bin/rustc
version=$($RUSTC --version | cut -d' ' -f2)

# The std of the target, from Debian's source with its vendored dependencies; made once for a version of the compiler.
if [ "$(cat "$sysroot/version" 2>/dev/null)" != "$version" ]; then
  rm -rf "$sysroot" && mkdir -p "$rustlib/self-contained"
  work=$(mktemp -d)
  mkdir -p "$work/src" "$work/.cargo"
  echo '#![no_std]' >"$work/src/lib.rs"
  printf '[package]\nname="std-maker"\nversion="0.0.0"\nedition="2021"\n[profile.release]\npanic="abort"\nopt-level=3\n' >"$work/Cargo.toml"
  printf '[source.crates-io]\nreplace-with="v"\n[source.v]\ndirectory="/usr/src/rustc-%s/library/vendor"\n' "$version" >"$work/.cargo/config.toml"
  # Bitcode is needed for link-time optimisation across std; the bootstrap variable allows -Zbuild-std on a stable compiler.
  (cd "$work" && RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Cembed-bitcode=yes --remap-path-prefix=$work=/std" \
    /usr/bin/cargo build -q -Zbuild-std=std,panic_abort --target $target --release)
  cp "$work/target/$target/release/deps/"*.rlib "$rustlib/"
  rm -f "$rustlib"/libstd_maker*.rlib
  cp /usr/lib/wasm32-wasi/{crt1-command.o,crt1-reactor.o,libc.a} "$rustlib/self-contained/"
  ln -sfn "/usr/lib/rustlib/$($RUSTC -vV | sed -n 's/^host: //p')" "$sysroot/lib/rustlib/$($RUSTC -vV | sed -n 's/^host: //p')"
  rm -rf "$work"
  echo "$version" >"$sysroot/version"
fi

# crt1-reactor.o and _initialize: without them constructors would run on every call. The parser recurses deeply: 16 MiB of stack.
flags=(
  "--sysroot=$sysroot" -Clinker-flavor=wasm-ld -Clink-self-contained=yes -Clink-arg=-zstack-size=16777216
  "-Clink-arg=$rustlib/self-contained/crt1-reactor.o" -Clink-arg=--export=_initialize
  "--remap-path-prefix=$here=/engine"
)
# Panics name their source: not where this machine keeps it, nor which registry it came from.
/usr/bin/cargo fetch -q --locked --target $target
for crates in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
  flags+=("--remap-path-prefix=$crates=/crates")
done
export CARGO_TARGET_WASM32_WASIP1_LINKER=/usr/bin/wasm-ld-22 CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS="${flags[*]}" SOURCE_DATE_EPOCH=0
/usr/bin/cargo build -q --release --locked --target $target

zstd -q -19 -f "target/$target/release/nuka_engine.wasm" -o ../engine.wasm.zst
# The same list as digest_test.go: every file that the artefact depends on, by name.
find Cargo.toml Cargo.lock build.sh src -type f | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -d' ' -f1 >../engine.digest
