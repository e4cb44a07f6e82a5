#!/usr/bin/env bash
# Trains the students of the comparison, as many at a time as there are processors, each on one thread: no
# thread waits for another, so that all come sooner than one after another on all processors.
#
#   scripts/compare.sh RETORT TEACHER SEED...
# Run again after a stop, it goes on. Exit codes: 0 all done, 1 a run failed (its log.txt says why).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

retort=$1 teacher=$2
shift 2
cache=runs/quickstart/cache
# One makes the cache before all use it; where it is whole, nothing happens.
"$retort" extract --config pipelines/compare.yaml --set "teacher=$teacher" --set "output=$cache"

mkdir -p runs/compare
for seed in "$@"; do
  printf '%s\n' "compare $seed gpt2" "compare-pruned $seed pruned"
done | RETORT_THREADS=1 OMP_NUM_THREADS=1 xargs -P "$(nproc)" -L 1 bash -c '
  [[ $3 = gpt2 ]] || sleep 3
  echo "$3, seed $2: begun"
  if "$0" run "pipelines/$1.yaml" --set "extract.teacher='"$teacher"'" --set "seed=$2" \
    --set "output=runs/compare/$2/$3" >"runs/compare/$2-$3.log" 2>&1
  then echo "$3, seed $2: done"
  else echo "$3, seed $2: failed, see runs/compare/$2-$3.log" >&2; exit 1
  fi' "$retort"
