#!/usr/bin/env bash
# Measures on one GPU, at the published shapes and with random weights, what docs/performance.md says about GPUs; at
# most ten minutes. What does not fit the time or the GPU's memory is left out, and the table says so.
#
#   benchmarks/gpu.sh [DIR]            results in DIR (out/gpu): table.md, and a JSON file and a log of each step
#   benchmarks/gpu.sh --cpu [DIR]      the same steps at the size "tiny" on the CPU, to try the script
set -euo pipefail
cd "$(dirname "$0")/.."

device=cuda size=7b large=13b compile=always pairs=3 shard=4
if [[ ${1:-} == --cpu ]]; then
    device=cpu size=tiny large=tiny compile=never pairs=1 shard=0.01
    shift
fi
out=${1:-out/gpu} python=${PYTHON:-.venv/bin/python} limit=${LIMIT:-590} # s, of all steps
mkdir -p "$out"
rm -f "$out"/*.json "$out"/*.log "$out"/table.md
if [[ $device == cuda ]] && ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    echo "torch sees no GPU; --cpu tries the script without one" >&2
    exit 2
fi

step() { # NAME SECONDS COMMAND...: at most SECONDS, and at most what is left of the limit
    local name=$1 most=$2 left=$((limit - SECONDS))
    shift 2
    if ((left < 20)); then
        echo "$name: left out, no time" | tee "$out/$name.log"
        return
    fi
    echo "$name ($SECONDS s so far)"
    if ! timeout "$((most < left ? most : left))" "$@" >"$out/$name.log" 2>&1; then
        echo "left out, it failed or took more than $most s" >>"$out/$name.log"
        rm -f "$out/$name.json"
        tail -n 3 "$out/$name.log" >&2
    fi
}

measure() { # NAME SECONDS SIZE PRECISION COMPILE PAIRS
    step "$1" "$2" "$python" benchmarks/inference.py --device "$device" --size "$3" --precision "$4" --compile "$5" \
        --pairs "$6" --tokens 30 --json "$out/$1.json"
}

step tests 120 "$python" -m pytest -q -p no:cacheprovider -m gpu tests/inference/test_gpu.py
measure bf16 180 "$size" bf16 "$compile" "$pairs"
measure int4 150 "$size" int4 "$compile" 1
measure bf16_plain_steps 90 "$size" bf16 never 1
step loading 150 "$python" benchmarks/loading_memory.py --size "$size" --device "$device" --stored bf16 \
    --precision bf16 int8 int4 nf4 --shard-gb "$shard" --json "$out/loading.json"
measure int8 60 "$size" int8 never 1
measure nf4 60 "$size" nf4 never 1
measure large_int4 120 "$large" int4 "$compile" 1

"$python" benchmarks/gpu_table.py "$out" | tee "$out/table.md"
