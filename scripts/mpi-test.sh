#!/usr/bin/env bash
# Trains a tiny student by one process and by 1, 2, 3 and 4 ranks over MPI, and compares every loss; kills and
# stops ranks on the way. Needs Open MPI (Debian: libopenmpi-dev openmpi-bin) and Python.
#
# RETORT=PATH takes a command that is built with the trait already.
# Exit codes: 0 all is as it should be, 1 something is not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

retort=${RETORT:-$PWD/.build-mpi/debug/retort}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export RETORT_THREADS=1
# More ranks than cores, and perhaps as root in a container.
launch=(mpirun --oversubscribe --bind-to none)
[[ $EUID -ne 0 ]] || launch+=(--allow-run-as-root)

fail() { # MESSAGE...
  echo "mpi-test: $*" >&2
  exit 1
}

quietly() { # COMMAND...: its words only where it fails
  "$@" >"$folder/log" 2>&1 || fail "code $?: $(cat "$folder/log")"
}

train() { # CRITERION RUN: the arguments of a run of 12 steps
  arguments=(distill --set "cache=$folder/cache" --set "student.from=$folder/student"
    --set "output=$folder/$2" --set "criterion=$1" --set steps=12 --set warmup_steps=2
    --set batch_examples=12 --set pass_tokens=256 --set checkpoint_every=4 --set eval_every=6
    --set tensorboard=false)
}

on() { # RANKS COMMAND...: mpirun and each rank leave their process numbers
  local count=$1
  shift
  rm -f "$folder"/pid.*
  # shellcheck disable=SC2016
  "${launch[@]}" --report-pid "$folder/pid.mpirun" -n "$count" bash -c \
    'echo $$ >"$0.$OMPI_COMM_WORLD_RANK"; exec "$@"' "$folder/pid" "$@"
}

compare() { # RUN REFERENCE: every step's losses, held-out losses and norm within 1e-4
  python3 - "$folder/$1/metrics.jsonl" "$folder/$2/metrics.jsonl" <<'PYTHON'
import json, sys
runs = [[json.loads(line) for line in open(path)] for path in sys.argv[1:]]
assert [x["step"] for x in runs[0]] == [x["step"] for x in runs[1]] == list(range(1, 13)), "steps"
worst = 0
for a, b in zip(*runs):
    for key in ("tokens", "examples", "cut", "dropped"):
        assert a[key] == b[key], (a["step"], key)
    figures = [({"norm": x["gradient_norm"]} | x["losses"] | x.get("held_out", {})) for x in (a, b)]
    assert figures[0].keys() == figures[1].keys(), a["step"]
    for name, value in figures[1].items():
        worst = max(worst, abs(figures[0][name] - value) / max(abs(value), 1e-3))
print(f"  largest relative difference {worst:.1e}")
assert worst < 1e-4
PYTHON
}

wait_for_step() { # RUN STEP: until metrics.jsonl has it
  local file="$folder/$1/metrics.jsonl"
  until [[ -f $file && $(wc -l <"$file") -ge $2 ]]; do
    kill -0 "$job" 2>/dev/null || fail "$1: ended before step $2: $(cat "$folder/$1.log")"
    sleep 0.05
  done
}

if [[ -z ${RETORT:-} ]]; then
  swift build --traits MPI --scratch-path .build-mpi --product retort
fi

# The last lines of the data are held out.
{ head -n 60 data/instructions.jsonl; tail -n 12 data/instructions.jsonl; } >"$folder/data.jsonl"
sizes=(--layers 2 --heads 4 --positions 512)
quietly "$retort" model new --texts "$folder/data.jsonl" --output "$folder/teacher" \
  --vocabulary 600 --hidden-size 64 "${sizes[@]}" --seed 1
quietly "$retort" model new --texts "$folder/data.jsonl" --output "$folder/student" \
  --vocabulary 450 --hidden-size 48 "${sizes[@]}" --seed 2
quietly "$retort" extract --set "teacher=$folder/teacher" --set "data=$folder/data.jsonl" \
  --set "output=$folder/cache" --set max_prompt_length=128 --set max_length=256

for criterion in sft dskd_cma; do
  train "$criterion" "$criterion-alone"
  quietly "$retort" "${arguments[@]}"
  for count in 1 2 3 4; do
    echo "$criterion, $count ranks against one process"
    train "$criterion" "$criterion-$count"
    quietly on "$count" "$retort" "${arguments[@]}"
    compare "$criterion-$count" "$criterion-alone"
  done
done

echo "one of two ranks killed after step 6"
train dskd_cma killed
on 2 "$retort" "${arguments[@]}" >"$folder/killed.log" 2>&1 &
job=$!
wait_for_step killed 6
kill -KILL "$(cat "$folder/pid.1")"
code=0
wait "$job" || code=$?
[[ $code -ne 0 && ! -e $folder/killed/done.json ]] || fail "killed: code $code"
while kill -0 "$(cat "$folder/pid.0")" 2>/dev/null; do sleep 0.1; done # mpirun ends it
quietly on 2 "$retort" "${arguments[@]}" --resume
compare killed dskd_cma-alone
compare killed dskd_cma-2

echo "one of three ranks told to stop after step 3; two go on"
train dskd_cma stopped
on 3 "$retort" "${arguments[@]}" >"$folder/stopped.log" 2>&1 &
job=$!
wait_for_step stopped 3
kill -TERM "$(cat "$folder/pid.2")"
code=0
wait "$job" || code=$?
[[ $code -eq 75 ]] || fail "stopped: code $code: $(cat "$folder/stopped.log")"
ls "$folder"/stopped/checkpoints/step-* >/dev/null || fail "stopped: no checkpoint"
quietly on 2 "$retort" "${arguments[@]}" --resume
compare stopped dskd_cma-alone

echo "mpirun told to stop after step 2"
train sft paused
on 2 "$retort" "${arguments[@]}" >"$folder/paused.log" 2>&1 &
job=$!
wait_for_step paused 2
kill -USR1 "$(cat "$folder/pid.mpirun")"
code=0
wait "$job" || code=$?
[[ $code -eq 75 ]] || fail "paused: code $code: $(cat "$folder/paused.log")"
quietly on 2 "$retort" "${arguments[@]}" --resume
compare paused sft-alone

echo "an error of one rank ends all with its words and its code"
train sft broken
code=0
# shellcheck disable=SC2016
"${launch[@]}" -n 3 bash -c \
  '[[ $OMPI_COMM_WORLD_RANK != 2 ]] || set -- "$@" --set student.from=nowhere; exec "$0" "$@"' \
  "$retort" "${arguments[@]}" >"$folder/broken.log" 2>&1 || code=$?
[[ $code -eq 66 ]] || fail "broken: code $code: $(cat "$folder/broken.log")"
grep -q '^error: rank 2 of 3: .*nowhere: there is no model' "$folder/broken.log" || fail "$(cat "$folder/broken.log")"

echo "an error of all is told once"
code=0
on 3 "$retort" distill --set cache=nowhere --set student.from=x --set output="$folder/none" \
  >"$folder/none.log" 2>&1 || code=$?
[[ $code -eq 66 && $(grep -c '^error: ' "$folder/none.log") -eq 1 ]] ||
  fail "code $code: $(cat "$folder/none.log")"
echo "mpi-test: all is as it should be"
