#!/bin/sh
# Checks and measures the package on a machine with a GPU and PyTorch, without a network, in under ten minutes.
#
#     sh tools/dev/gpu_check.sh [FOLDER]
#
# What the machine lacks beside PyTorch lies as wheels in WHEELS (default ./.whl); on a connected machine
# `python tools/dev/fetch_wheels.py --python 3.12 --to .whl [--have have.txt]` fetches them (187 MB; 17 MB where NumPy, SciPy,
# scikit-learn, OpenCV, Matplotlib, TensorBoard and pytest are there already).
#
# Every part has a limit of its own, all together SECONDS_IN_ALL (default 590), most important first. A part writes its
# files to FOLDER (default ./output/gpu_check) as it goes: where it fails or runs out of time it leaves what it had, and the
# others run. NAME.txt is what it printed (tables to paste into docs/benchmarks.md and docs/scaling.md), NAME.log its
# messages, NAME.json its numbers.
#
# PYTHON names the interpreter, BATCH the images a step (default 24, the published size), LARGE those of the findings step
# that is to fill the GPU (default 128), OPTS configuration keys. DEVICE=cpu PRECISION=fp32 tries the script without a GPU,
# in some minutes with a tiny network:
#
#     DEVICE=cpu PRECISION=fp32 BATCH=2 LARGE=4 OPTS="INPUT.SIZE 64 MODEL.SWIN.EMBED_DIM 8 MODEL.SWIN.DEPTHS [1,1,1,1] \
#         MODEL.SWIN.NUM_HEADS [1,1,2,2] MODEL.BOX.DIM 64 MODEL.BOX.FFN_DIM 64 MODEL.BOX.NUM_QUERIES 20 \
#         MODEL.BOX.ENCODER_LAYERS 1 MODEL.BOX.DECODER_LAYERS 1" sh tools/dev/gpu_check.sh /tmp/check
set -u

folder=${1:-output/gpu_check}
wheels=${WHEELS:-.whl}
python=${PYTHON:-python3}
batch=${BATCH:-24}
large=${LARGE:-128}
in_all=${SECONDS_IN_ALL:-590}
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
    left=$((in_all - begin + start))
    [ "$limit" -le "$left" ] || limit=$left
    [ "$limit" -ge 5 ] || {
        status=1
        echo "gpu_check: $name: left out, no time is left" | tee -a "$folder/summary.txt" >&2
        return 1
    }
    timeout -k 5 "$limit" "$@" >"$folder/$name.txt" 2>"$folder/$name.log" || code=$?
    case $code in
        0) said="ok" ;;
        124 | 137) said="out of time after $limit s" ;;
        *) said="failed ($code), see $folder/$name.log" ;;
    esac
    [ "$code" = 0 ] || status=1
    echo "gpu_check: $name: $said, $(($(date +%s) - begin)) s" | tee -a "$folder/summary.txt" >&2
    case $name in *tests) tail -n 40 "$folder/$name.txt" ;; *) cat "$folder/$name.txt" ;; esac
    [ "$code" = 0 ] || tail -n 12 "$folder/$name.log"  # of a table that was cut off, the rows that were done
    return "$code"
}

measure() {
    name=$1; limit=$2; type=$3; shift 3
    # $opts unquoted: pairs of words
    part "$name" "$limit" "$python" -W ignore tools/dev/benchmark.py --config-file "$config" --device "$device" \
        --precision "$type" --json "$folder/$name.json" "$@" $opts
}

pytest() {
    name=$1; limit=$2; shift 2
    part "$name" "$limit" "$python" -W ignore -m pytest -v -rs --no-header -p no:cacheprovider "$@"
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

part machine 40 "$python" -W ignore -m fx_d2.doctor  # the first import of PyTorch takes longest
timeout 60 "$python" -c "import sys, torch; sys.exit(sys.argv[1] == 'cuda' and not torch.cuda.is_available())" "$device" || {
    echo "gpu_check: $python finds no PyTorch with a GPU; PYTHON names another interpreter" >&2
    exit 2
}

pytest tests 90 tests/gpu/test_window_attention_gpu.py tests/gpu/test_sampling_gpu.py tests/gpu/test_devices.py tests/gpu/test_deterministic.py \
    tests/modeling/test_sampling.py tests/modeling/test_self_attention.py
# The ratio of bf16 and fp32 (no TF32) in images/s is the aim of 3, the share of findings in bf16 that of 35 %.
measure step 60 "$precision" --what training --batch "$batch" --repeats 5 --no-memory --reference none
measure step-fp32 60 fp32 --what training --batch "$batch" --repeats 3 --no-memory --reference none
measure large 45 "$precision" --what training --kinds cls --batch "$large" --repeats 5 --no-memory --reference none
measure large-fp32 45 fp32 --what training --kinds cls --batch "$large" --repeats 3 --no-memory --reference none
[ "$device" = cpu ] || measure plain-sampling 45 "$precision" --what training --kinds box --batch "$batch" --repeats 5 --no-memory \
    --reference none MODEL.BOX.SAMPLING plain
part memory 45 "$python" -W ignore tools/dev/plan_memory.py --config-file "$config" --measure "$batch" \
    MODEL.DEVICE "$device" $opts
# Hours of a training from these rates; without a file of rates there is nothing to plan.
[ ! -s "$folder/step.json" ] || part hours 25 "$python" -W ignore tools/dev/plan_training.py --config-file "$config" \
    --rates "$folder/step.json" --batch-per-gpu "$batch"
measure others 45 "$precision" --what sampling,backbone,ema,infer --batch "$batch" --repeats 5
# Building takes minutes: student and teacher are one graph each.
measure large-compiled 260 "$precision" --what training --kinds cls --batch "$large" --repeats 5 --no-memory \
    --reference none FX.COMPILE default
pytest compiled-tests 120 tests/gpu/test_compiled.py
measure compiled 260 "$precision" --what training --kinds cls --batch "$batch" --repeats 5 --no-memory \
    --reference none FX.COMPILE default
# Last, as no aim on a GPU hangs on it: the published step, and its peak in a process of its own.
measure published 120 "$precision" --what training --kinds "cls,box released" --batch "$batch" --repeats 3

echo "gpu_check: $(($(date +%s) - start)) s in all; files in $folder" >&2
exit "$status"
