#!/bin/bash
# A grid on nodes of SLURM: a head of Ray on the first, a worker on each of the others, and `bench run` beside the head.
#
#     sbatch examples/cluster/slurm.sh --grid full --store /shared/results
#
# Send it again to go on: what is done is not run again. Needs a checkout with .venv that all nodes see; BENCH_VENV names
# another. A batch system that ends the job sends TERM two minutes before, on which `bench run` says what is kept.
#SBATCH --job-name=noisy-prompt-bench
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@120
# With GPUs add: #SBATCH --gpus-per-node=1
set -euo pipefail

venv=${BENCH_VENV:-.venv}
port=$((20000 + SLURM_JOB_ID % 10000))
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
export NOISY_PROMPT_BENCH_CACHE=${NOISY_PROMPT_BENCH_CACHE:-${TMPDIR:-/tmp}/noisy-prompt-bench-$(id -un)} # of each node

has=(--num-cpus "$SLURM_CPUS_PER_TASK")
[ -z "${SLURM_GPUS_ON_NODE:-}" ] || has+=(--num-gpus "$SLURM_GPUS_ON_NODE")

on() { # node, command …; always in a shell of its own, which becomes srun and can be ended
    exec srun --nodes=1 --ntasks=1 --nodelist="$1" "${@:2}"
}

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
read -r address _ < <(on "${nodes[0]}" hostname --ip-address)
started=()
trap 'kill "${started[@]}" 2> /dev/null || true; wait' EXIT

on "${nodes[0]}" "$venv/bin/ray" start --head --node-ip-address="$address" --port="$port" "${has[@]}" \
    --include-dashboard=false --disable-usage-stats --block > /dev/null &
started+=($!)
up() {
    "$venv/bin/ray" health-check --address "$address:$port" > /dev/null 2>&1
}
for ((tries = 60; tries > 0; tries--)); do
    up && break
    sleep 2
done
for node in "${nodes[@]:1}"; do
    on "$node" "$venv/bin/ray" start --address="$address:$port" "${has[@]}" --block > /dev/null &
    started+=($!)
done
joined() { # as many nodes as there are
    [ "$("$venv/bin/ray" status --address "$address:$port" 2> /dev/null | grep -c ' node_')" -ge "${#nodes[@]}" ]
}
for ((tries = 60; tries > 0; tries--)); do
    joined && break
    sleep 2
done

"$venv/bin/bench" run --address "$address:$port" "$@" &
bench=$!
started+=("$bench")
trap 'kill -TERM "$bench"' TERM
code=0
wait "$bench" || code=$?
if kill -0 "$bench" 2> /dev/null; then # the wait was interrupted; it writes what is done
    code=0
    wait "$bench" || code=$?
fi
exit "$code"
