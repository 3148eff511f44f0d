#!/bin/sh
# Checks and measures the package on a machine with a GPU and PyTorch, without a network, in under ten minutes.
#
#     sh tools/gpu_check.sh [FOLDER]
#
# What the machine lacks beside PyTorch lies as wheels in WHEELS (default ./.whl); on a connected machine
# `python tools/fetch_wheels.py --python 3.12 --to .whl [--have have.txt]` fetches them (187 MB; 17 MB where NumPy, SciPy,
# scikit-learn, OpenCV, Matplotlib, TensorBoard and pytest are there already).
#
# Every part has a limit of its own, together 590 s, and writes its files to FOLDER (default ./output/gpu_check) as it
# goes: a part that fails or runs out of time leaves what it had, and the others run. NAME.txt is what it printed (tables
# to paste into docs/benchmarks.md and docs/scaling.md), NAME.log its messages, NAME.json its numbers.
#
# PYTHON names the interpreter, BATCH the images a step (default 24, the published size), OPTS configuration keys.
# DEVICE=cpu PRECISION=fp32 tries the script without a GPU, in some minutes with a tiny network:
#
#     DEVICE=cpu PRECISION=fp32 BATCH=2 OPTS="INPUT.SIZE 64 MODEL.SWIN.EMBED_DIM 8 MODEL.SWIN.DEPTHS [1,1,1,1] \
#         MODEL.SWIN.NUM_HEADS [1,1,2,2] MODEL.BOX.DIM 64 MODEL.BOX.FFN_DIM 64 MODEL.BOX.NUM_QUERIES 20 \
#         MODEL.BOX.ENCODER_LAYERS 1 MODEL.BOX.DECODER_LAYERS 1" sh tools/gpu_check.sh /tmp/check
set -u

folder=${1:-output/gpu_check}
wheels=${WHEELS:-.whl}
python=${PYTHON:-python3}
batch=${BATCH:-24}
device=${DEVICE:-cuda}
precision=${PRECISION:-bf16}
opts=${OPTS:-}
config=configs/foundation_x_swin_b.yaml
status=0
start=$(date +%s)

# part NAME LIMIT COMMAND...
part() {
    name=$1; limit=$2; shift 2
    begin=$(date +%s); code=0
    timeout -k 5 "$limit" "$@" >"$folder/$name.txt" 2>"$folder/$name.log" || code=$?
    case $code in
        0) said="ok" ;;
        124 | 137) said="out of time after $limit s" ;;
        *) said="failed ($code), see $folder/$name.log" ;;
    esac
    [ "$code" = 0 ] || status=1
    echo "gpu_check: $name: $said, $(($(date +%s) - begin)) s" | tee -a "$folder/summary.txt" >&2
    case $name in tests) tail -n 20 "$folder/$name.txt" ;; *) cat "$folder/$name.txt" ;; esac
    [ "$code" = 0 ] || tail -n 12 "$folder/$name.log"  # of a table that was cut off, the rows that were done
    return "$code"
}

measure() {
    name=$1; limit=$2; type=$3; shift 3
    # $opts unquoted: pairs of words
    part "$name" "$limit" "$python" -W ignore tools/benchmark.py --config-file "$config" --device "$device" \
        --precision "$type" --batch "$batch" --json "$folder/$name.json" "$@" $opts
}

mkdir -p "$folder" || exit 2
rm -rf "$folder/site" "$folder"/*.json  # of an earlier run
: >"$folder/summary.txt"
export PYTHONUNBUFFERED=1
PYTHONPATH="$folder/site:$PWD${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONPATH

if [ -d "$wheels" ]; then
    # Detectron2's wheel is tagged for Python 3.10 alone, yet its Python files run on any.
    part install 40 sh -c '
        set -e
        for wheel in "$1"/*.whl; do case $wheel in */sal_detectron2*) ;; *) set -- "$@" "$wheel" ;; esac; done
        python=$2; site=$3; wheels=$1; shift 3
        "$python" -m pip install -q --no-index --no-deps --no-compile --target "$site" "$@"
        for wheel in "$wheels"/sal_detectron2*.whl; do
            [ ! -e "$wheel" ] || "$python" -m zipfile -e "$wheel" "$site"
        done' install "$wheels" "$python" "$folder/site" || exit 2
fi

part machine 20 "$python" -W ignore -m fx_d2.doctor
"$python" -c "import sys, torch; sys.exit(sys.argv[1] == 'cuda' and not torch.cuda.is_available())" "$device" || {
    echo "gpu_check: $python finds no PyTorch with a GPU; PYTHON names another interpreter" >&2
    exit 2
}

part tests 120 "$python" -W ignore -m pytest -q -rs -p no:cacheprovider tests/gpu tests/modeling/test_sampling*.py \
    tests/modeling/test_self_attention.py
# bf16 beside the published step, then fp32 as PyTorch computes it by default (no TF32): the ratio of the two tables'
# images/s is the aim of 3; then findings with CUDA graphs. Peaks: ours of all kinds in one process; of the box step
# beside the published one, each in a process of its own.
measure step 110 "$precision" --what step --repeats 5 --no-memory
measure step-fp32 60 fp32 --what step --repeats 3 --no-memory --reference none
measure step-compiled 90 "$precision" --what step --kinds cls --repeats 5 --no-memory --reference none \
    FX.COMPILE reduce-overhead
part memory 40 "$python" -W ignore tools/plan_memory.py --config-file "$config" --measure "$batch" \
    MODEL.DEVICE "$device" $opts
measure memory-box 55 "$precision" --what step --kinds "box released" --repeats 1
measure others 30 "$precision" --what ema,infer --repeats 5
# Hours of a training from these rates; without a file of rates there is nothing to plan.
[ ! -s "$folder/step.json" ] || part hours 25 "$python" -W ignore tools/plan_training.py --config-file "$config" \
    --rates "$folder/step.json" --batch-per-gpu "$batch"

echo "gpu_check: $(($(date +%s) - start)) s in all; files in $folder" >&2
exit "$status"
