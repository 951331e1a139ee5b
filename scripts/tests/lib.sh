# shellcheck shell=bash
# What the tests of scripts share: they print what cargo prints, and have a real registry on loopback. Sets
# `scratch`, a folder that is gone afterwards, and `registry`.
# shellcheck disable=SC2034  # which are for those who source this
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

# run_tests TEST…: each in a folder of its own, after the function `prepare_test` if there is one.
run_tests() {
  local name status ok=0 bad=0
  say "running $# tests"
  for name in "$@"; do
    # A subshell of its own and not a condition: only so does `set -e` hold inside.
    set +e
    (
      set -e
      mkdir "$scratch/$name"
      cd "$scratch/$name"
      ! declare -F prepare_test >/dev/null || prepare_test
      "$name"
    ) >"$scratch/log" 2>&1
    status=$?
    set -e
    if ((status == 0)); then
      say "test $name ... ok"
      ok=$((ok + 1))
    else
      say "test $name ... FAILED"
      sed 's/^/  | /' "$scratch/log"
      bad=$((bad + 1))
    fi
  done
  say "test result: $( ((bad)) && echo FAILED || echo ok). $ok passed; $bad failed; 0 ignored"
  ((bad == 0))
}

start_registry() {
  scratch=$(mktemp -d)
  trap finish EXIT
  cat >"$scratch/registry.yml" <<END
version: 0.1
log: {level: info, formatter: json, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $scratch/registry}}
http: {addr: "127.0.0.1:0"}
END
  # Here, not by the process in the background, which may come later than whoever reads it.
  : >"$scratch/registry.log"
  "$tools/docker-registry" serve "$scratch/registry.yml" >"$scratch/registry.log" 2>&1 &
  registry_process=$!
  local port='' tries
  for ((tries = 0; tries < 100; tries++)); do
    port=$(sed -nE 's/.*listening on 127\.0\.0\.1:([0-9]+).*/\1/p' "$scratch/registry.log")
    [[ -z $port ]] || break
    sleep 0.1
  done
  [[ -n $port ]] || { cat "$scratch/registry.log" && die "the registry did not start" "see its log above"; }
  # oras speaks plain HTTP to this name only.
  registry=localhost:$port
}

finish() {
  [[ -z ${registry_process:-} ]] || kill "$registry_process" 2>/dev/null || true
  rm -rf "$scratch"
}
