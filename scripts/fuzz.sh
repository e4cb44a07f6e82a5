#!/usr/bin/env bash
# Damages GGUF files, safetensors files, tokenizers, configurations, HDF5 files of arrays, inputs of criteria and what runs leave
# MUTATIONS times each and opens (evaluates) them under AddressSanitizer: no crash, no hang over 20 s, no allocation above 64 MiB
# (the files have less than 1 MiB), no more than 1 GiB resident. HDF5 may crash: in its jail.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly mutations=${MUTATIONS:-10000} seed=${SEED:-1}
readonly fixtures=Tests/ModelsTests/Fixtures tokenizers=Tests/TokenizersTests/Fixtures
work=$(mktemp -d "${TMPDIR:-/tmp}/retort-fuzz.XXXXXX")
readonly work

swift build -c release --product fuzz --sanitize address --scratch-path .build/asan

# Swift frees nothing that it uses; LeakSanitizer only finds the caches of the runtime.
export ASAN_OPTIONS="detect_leaks=0:max_allocation_size_mb=64:allocator_may_return_null=0"
ASAN_OPTIONS+=":hard_rss_limit_mb=1024:quarantine_size_mb=16"
export RETORT_THREADS=1

fuzz() {
  local kind=$1
  shift
  if ! .build/asan/release/fuzz "$kind" "$mutations" "$seed" "$work" "$@"; then
    echo "fuzz: $kind failed; the file that did it lies in $work" >&2
    exit 1
  fi
}

files() { find "$@" -size -1024k | LC_ALL=C sort; }

mapfile -t list < <(files $fixtures $tokenizers -name '*.gguf' ! -name '*-0000?-of-*')
fuzz gguf "${list[@]}"
mapfile -t list < <(files $fixtures/parity -name model.safetensors)
fuzz safetensors "${list[@]}"
mapfile -t list < <(files $fixtures/parity -name config.json)
fuzz config "${list[@]}"
mapfile -t list < <(files $tokenizers -name tokenizer.json)
fuzz tokenizer "${list[@]}"
mapfile -t list < <(files Tests/CacheTests/Fixtures/tensors -name 'good*.h5')
fuzz tensors "${list[@]}"
mapfile -t list < <(files Tests/DistillTests/Fixtures/criteria -name 'input-*.h5')
fuzz criterion "${list[@]}"
readonly run=Tests/ReportTests/Fixtures/quickstart
fuzz metrics $run/dskd/metrics.jsonl
fuzz eval $run/eval.json
fuzz maps $run/eval.maps.json
rm -r "$work"
