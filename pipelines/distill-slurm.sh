#!/usr/bin/env bash
# One student trained by several processes on several machines; see docs/training.md, "Several machines".
#
#   sbatch --nodes=4 pipelines/distill-slurm.sh mine.yaml --set output=/shared/run
#
# The arguments are those of `retort distill`; the first may be a settings file. Cache, student and output
# lie where all nodes see them. retort is built with `--traits MPI`. Without Slurm the script runs the
# command as it is: `mpirun -n 2 pipelines/distill-slurm.sh mine.yaml`.
#
#SBATCH --job-name=retort-distill
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=64G
#SBATCH --time=12:00:00
#SBATCH --output=retort-%j.log
#SBATCH --open-mode=append
# Put back into the queue when preempted or when a node fails: the last checkpoint goes on.
#SBATCH --requeue
# Five minutes before the time is up all ranks are asked to stop: a checkpoint after the step, exit 75.
#SBATCH --signal=TERM@300
set -euo pipefail

if [[ $# -eq 0 ]]; then
  echo "usage: distill-slurm.sh [SETTINGS.yaml] [--set key=value]..." >&2
  exit 64
fi
if [[ $1 == *.yaml || $1 == *.yml ]]; then
  set -- --config "$@"
fi

# Threads of one rank: what Slurm gave it.
if [[ -n ${SLURM_CPUS_PER_TASK:-} ]]; then
  export RETORT_THREADS=$SLURM_CPUS_PER_TASK
fi

# srun, not mpirun: its signals reach the ranks themselves, and PMIx tells them of each other.
launch=()
if [[ -n ${SLURM_JOB_ID:-} ]] && command -v srun >/dev/null; then
  # A rank that dies ends the others: they would wait for it for ever.
  launch=(srun --mpi="${RETORT_SRUN_MPI:-pmix}" --kill-on-bad-exit=1)
  # It takes the number of cores only when it is told.
  [[ -z ${SLURM_CPUS_PER_TASK:-} ]] || launch+=(--cpus-per-task="$SLURM_CPUS_PER_TASK")
fi

code=0
"${launch[@]}" "${RETORT:-retort}" distill "$@" || code=$?

# 75: stopped on request with a checkpoint. Back into the queue, to go on.
if [[ $code -eq 75 && ${#launch[@]} -gt 0 ]]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
