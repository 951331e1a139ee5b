# shellcheck shell=bash
# What the scripts share: places, words, and cargo for a wasm target. To be sourced; does nothing by itself.
# shellcheck disable=SC2034  # what this file does not use, those who source it do

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# What the scripts hand on: the module, the binary, links to tools. In the tree, whoever built them.
out=$root/target
tools=$out/tools
# Tools and downloads, keyed by version, shared by all clones.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/scbte

# Where cargo builds. In CI it outlives the clone, so that a clean clone is warm.
[[ ${CI:-} == true ]] && : "${CARGO_TARGET_DIR:=$cache/target}"
target=${CARGO_TARGET_DIR:-$root/target}
[[ $target == /* ]] || target=$PWD/$target
export CARGO_TARGET_DIR=$target

say() { printf '%s\n' "$*"; }
warn() { printf '%s\n' "$*" >&2; }

# die WHAT NEXT: what went wrong, and what the reader can do about it.
die() {
  warn "error: $1"
  warn "  next: $2"
  exit 1
}

# unknown_argument ARGUMENT: the same words in every script.
unknown_argument() { die "unknown argument \`$1\`" "see $0 --help"; }

# quietly LOG COMMAND…: keeps the output in LOG and shows its end only when COMMAND fails.
quietly() {
  local log=$1
  shift
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 </dev/null && return
  warn "failed: $*"
  tail -n 20 "$log" | sed 's/^/  | /' >&2
  warn "  all of it: $log"
  return 1
}

# Says what a step did and how long it took: started=$(now); …; took "$started"
now() { date +%s%N; }
took() {
  local ms=$((($(now) - $1) / 1000000))
  printf '%d.%d s' $((ms / 1000)) $((ms % 1000 / 100))
}

# locked_version CRATE: the version that Cargo.lock holds.
locked_version() {
  sed -nE "/^name = \"$1\"\$/{n;s/^version = \"(.*)\"/\1/p}" "$root/Cargo.lock"
}

# In CI nobody's edit may change Cargo.lock unseen.
locked() { [[ ${CI:-} != true ]] || echo --locked; }

# --- Two ways to build for wasm --------------------------------------------------------------------------------------

wasm_targets=(wasm32-wasip1 wasm32-unknown-unknown)
# Debian's compiler with its standard library's source; LLD must be as new as its LLVM.
debian_wasm_packages=(rustc-web cargo-web rust-web-src lld-22 wasi-libc)

# Prints `own` (the toolchain on PATH has the targets), `debian` (Debian's packages build them), or `none`.
wasm_toolchain() {
  if has_own_wasm_targets; then
    echo own
  elif has_debian_wasm; then
    echo debian
  else
    echo none
  fi
}

has_own_wasm_targets() {
  local sysroot name
  sysroot=$(rustc --print sysroot 2>/dev/null) || return 1
  for name in "${wasm_targets[@]}"; do
    compgen -G "$sysroot/lib/rustlib/$name/lib/libstd-*.rlib" >/dev/null || return 1
  done
}

has_debian_wasm() {
  [[ -x /usr/bin/rustc && -x /usr/bin/cargo && -x /usr/bin/wasm-ld-22 && -f /usr/lib/wasm32-wasi/libc.a &&
    -f /usr/lib/rustlib/src/rust/library/std/Cargo.toml ]]
}

# What makes the module small, besides the profile in Cargo.toml. The linker writes indices of functions as short as they
# are. Functions marked `#[inline]` are inlined while they are small, not up to LLVM's cost of 325, which counts for those
# that are optimised for size, too. And no path of the machine that built it gets into the messages of panics (flags are
# separated by spaces, so a path has none).
small=(-C link-arg=--compress-relocations -C llvm-args=-inlinehint-threshold=60)
[[ ${CARGO_HOME:-$HOME/.cargo} == *[[:space:]]* ]] || small+=("--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo")

# wasm_cargo COMMAND TARGET ARGUMENT…: cargo for one of the wasm targets. Flags are set by target, because RUSTFLAGS
# would replace them; the cfg gives core's tests in Node their randomness.
wasm_cargo() {
  local command=$1 name=$2
  shift 2
  local set=(env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS
    'CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS=--cfg getrandom_backend="wasm_js"'
    "CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS=${small[*]}")
  case $(wasm_toolchain) in
    own) "${set[@]}" cargo "$command" --target "$name" "$@" ;;
    debian) "${set[@]}" "${debian[@]}" "$(debian_cargo "$command")" "$command" --target "$name" -Zbuild-std=std,panic_abort "$@" ;;
    none) die "no compiler for $name" "./scripts/setup --for build" ;;
  esac
}

# Debian's compiler comes without a built standard library for wasm: cargo builds it from its source, which is an
# unstable option (RUSTC_BOOTSTRAP). A target folder of its own keeps the two compilers' work apart.
debian=(CARGO=/usr/bin/cargo RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc RUSTC_BOOTSTRAP=1
  CARGO_TARGET_DIR="$target/wasm"
  CARGO_TARGET_WASM32_WASIP1_LINKER=wasm-ld-22 CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-22
  CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS="-L /usr/lib/wasm32-wasi ${small[*]}")

# The compiler that builds for wasm, as it calls itself.
wasm_rustc() {
  if [[ $(wasm_toolchain) == debian ]]; then /usr/bin/rustc --version; else rustc --version; fi
}

# Clippy is no part of cargo: found first on PATH, it would be the other compiler's.
debian_cargo() {
  if [[ $1 == clippy ]]; then echo /usr/bin/cargo-clippy; else echo /usr/bin/cargo; fi
}

# The folder that wasm_cargo builds in.
wasm_target() {
  if [[ $(wasm_toolchain) == debian ]]; then echo "$target/wasm"; else echo "$target"; fi
}

# In CI one target folder serves many clones, and cargo knows by times alone whether a source is newer than what was
# built of it: what another clone left must not pass for this one's.
claim_target() {
  local owner
  owner="$root $(stat -c %i "$root")"
  [[ ${CI:-} == true && $(cat "$target/.clone" 2>/dev/null) != "$owner" ]] || return 0
  find "$root" \( -path "$root/target" -o -path "$root/.git" \) -prune -o -type f -exec touch {} +
  mkdir -p "$target"
  echo "$owner" >"$target/.clone"
}
