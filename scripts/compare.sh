#!/usr/bin/env bash
# Trains the students of the comparison, as many at a time as there are processors, each on one thread: none
# waits for another thread, and together they are sooner done than one after the other on all processors.
#
#   scripts/compare.sh RETORT TEACHER SEED...
# Run again after a stop, it goes on. Exit codes: 0 all done, 1 a run failed (its log says why).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export RETORT=$1 TEACHER=$2
shift 2

train() { # PIPELINE STUDENT SEED
  local run=runs/compare/$3/$2
  mkdir -p "$run"
  echo "$2, seed $3: begun, its log is $run.log"
  "$RETORT" run "pipelines/$1.yaml" --set "extract.teacher=$TEACHER" --set "seed=$3" \
    --set "output=$run" >"$run.log" 2>&1 || {
    echo "$2, seed $3: failed, see $run.log" >&2
    return 1
  }
  echo "$2, seed $3: done"
}
export -f train

# One makes the cache before all use it; where it is whole, nothing happens.
"$RETORT" extract --config pipelines/compare.yaml --set "teacher=$TEACHER" \
  --set output=runs/quickstart/cache

for seed in "$@"; do
  printf '%s\n' "compare gpt2 $seed" "compare-pruned pruned $seed"
done | RETORT_THREADS=1 OMP_NUM_THREADS=1 xargs -P "$(nproc)" -I{} bash -c 'train {}'
