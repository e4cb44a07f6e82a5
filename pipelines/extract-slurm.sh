#!/usr/bin/env bash
# One extraction by an array of Slurm jobs that share one output directory; see docs/workers.md.
#
#   sbatch pipelines/extract-slurm.sh pipelines/quickstart.yaml --set output=/shared/cache
#
# The arguments are those of `retort extract`; the first may be a pipeline file. Without Slurm the
# script runs one worker: `mpirun -n 2 pipelines/extract-slurm.sh …`, or with SLURM_ARRAY_* set.
#
#SBATCH --job-name=retort-extract
#SBATCH --array=0-7
#SBATCH --cpus-per-task=16
#SBATCH --mem=64G
#SBATCH --time=12:00:00
#SBATCH --output=retort-%A-%a.log
#SBATCH --open-mode=append
# Put back into the queue when preempted or when the node fails.
#SBATCH --requeue
# Two minutes before the time is up the step is asked to stop: it drops its open shard, exits 75.
#SBATCH --signal=TERM@120
set -euo pipefail

if [[ $# -eq 0 ]]; then
  echo "usage: extract-slurm.sh [PIPELINE.yaml] [--set key=value]..." >&2
  exit 64
fi
if [[ $1 == *.yaml || $1 == *.yml ]]; then
  set -- --config "$@"
fi

# Threads of one worker: what Slurm gave it.
if [[ -n ${SLURM_CPUS_PER_TASK:-} ]]; then
  export RETORT_THREADS=$SLURM_CPUS_PER_TASK
fi

# srun makes the worker a step, which --signal and preemption reach; a batch script alone would not
# pass the signal on.
launch=()
if [[ -n ${SLURM_JOB_ID:-} ]] && command -v srun >/dev/null; then
  # It takes the number of cores only when it is told.
  launch=(srun --ntasks=1 --kill-on-bad-exit=0)
  [[ -z ${SLURM_CPUS_PER_TASK:-} ]] || launch+=(--cpus-per-task="$SLURM_CPUS_PER_TASK")
fi

code=0
"${launch[@]}" "${RETORT:-retort}" extract "$@" || code=$?

# 75: stopped on request with its finished shards kept. Back into the queue, to go on.
if [[ $code -eq 75 && -n ${SLURM_ARRAY_JOB_ID:-} && ${#launch[@]} -gt 0 ]]; then
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
fi
exit "$code"
