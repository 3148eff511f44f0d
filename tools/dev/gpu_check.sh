#!/bin/sh
# Checks and measures the package on a machine with a GPU and PyTorch, without a network, in eight minutes.
#
#     sh tools/dev/gpu_check.sh [FOLDER]
#
# What the machine lacks beside PyTorch lies as wheels in WHEELS (default ./.whl); on a connected machine
# `python tools/dev/fetch_wheels.py --python 3.12 --to .whl [--have have.txt]` fetches them (187 MB; 17 MB where NumPy, SciPy,
# scikit-learn, OpenCV, Matplotlib, TensorBoard and pytest are there already).
#
# Every part has a limit of its own, all together SECONDS_IN_ALL (default 480), most important first. A part writes its
# files to FOLDER (default ./output/gpu_check) as it goes: where it fails or runs out of time it leaves what it had, and the
# others run. NAME.txt is what it printed (tables to paste into docs/benchmarks.md and docs/scaling.md), NAME.log its
# messages, NAME.json its numbers; summary.txt says how the parts ended, aims.txt which aims are met. FOLDER.tar.gz holds
# all of these.
#
# PYTHON names the interpreter, BATCH the images a step (default 24, the published size), LARGE those of the findings step
# that is to fill the GPU (default 128), OPTS configuration keys. DEVICE=cpu PRECISION=fp32 tries the script without a GPU,
# in some minutes with a tiny network:
#
#     SECONDS_IN_ALL=1800 DEVICE=cpu PRECISION=fp32 BATCH=2 LARGE=4 OPTS="INPUT.SIZE 64 MODEL.SWIN.EMBED_DIM 8 \
#         MODEL.SWIN.DEPTHS [1,1,1,1] MODEL.SWIN.NUM_HEADS [1,1,2,2] MODEL.BOX.DIM 64 MODEL.BOX.FFN_DIM 64 \
#         MODEL.BOX.NUM_QUERIES 20 MODEL.BOX.ENCODER_LAYERS 1 MODEL.BOX.DECODER_LAYERS 1" \
#         sh tools/dev/gpu_check.sh /tmp/check
set -u

folder=${1:-output/gpu_check}
wheels=${WHEELS:-.whl}
python=${PYTHON:-python3}
batch=${BATCH:-24}
large=${LARGE:-128}
in_all=${SECONDS_IN_ALL:-480}
device=${DEVICE:-cuda}
precision=${PRECISION:-bf16}
[ "$precision" = bf16 ] && amp=True || amp=False
opts=${OPTS:-}
config=configs/foundation_x_swin_b.yaml
start=$(date +%s)
kept=10  # seconds for a part that must be killed, the aims and the archive

# part NAME LIMIT COMMAND...
part() {
    name=$1; limit=$2; shift 2
    begin=$(date +%s); code=0
    left=$((in_all - kept - begin + start))
    # The limits are those of a GPU; on a CPU, which other work may share, only the time in all counts.
    [ "$limit" -le "$left" ] && [ "$device" != cpu ] || limit=$left
    [ "$limit" -ge 5 ] || {
        echo "gpu_check: $name: left out, no time is left" | tee -a "$folder/summary.txt" >&2
        return 1
    }
    timeout -k 5 "$limit" "$@" >"$folder/$name.txt" 2>"$folder/$name.log" || code=$?
    case $code in
        0) said="ok" ;;
        124 | 137) said="out of time after $limit s" ;;
        *) said="failed ($code), see $folder/$name.log" ;;
    esac
    echo "gpu_check: $name: $said, $(($(date +%s) - begin)) s" | tee -a "$folder/summary.txt" >&2
    case $name in *tests) tail -n 40 "$folder/$name.txt" ;; *) cat "$folder/$name.txt" ;; esac
    [ "$code" = 0 ] || tail -n 12 "$folder/$name.log"  # of a table that was cut off, the rows that were done
    return "$code"
}

measure() {
    name=$1; limit=$2; type=$3; shift 3
    # $opts unquoted: pairs of words
    part "$name" "$limit" "$python" -W ignore tools/dev/benchmark.py --config-file "$config" --device "$device" \
        --precision "$type" --no-memory --reference none --json "$folder/$name.json" "$@" $opts
}

pytest() {
    name=$1; limit=$2; shift 2
    part "$name" "$limit" "$python" -W ignore -m pytest -v -rs --no-header -p no:cacheprovider "$@"
}

# Where there is no GPU there are no cores to spare either.
alone() {
    [ "$device" != cpu ] || wait
}

finish() {
    code=$?
    "$python" tools/dev/gpu_aims.py "$folder" | tee "$folder/aims.txt"
    echo "gpu_check: $(($(date +%s) - start)) s in all; files in $folder.tar.gz" | tee -a "$folder/summary.txt" >&2
    (
        cd "$folder" || exit
        set -- summary.txt aims.txt
        for file in *.txt *.log *.json; do
            case $file in summary.txt | aims.txt | '*.'*) ;; *) set -- "$@" "$file" ;; esac
        done
        tar -czf "../${PWD##*/}.tar.gz" "$@"
    )
    [ "$code" != 0 ] || ! grep -qE ': (left out|out of time|failed)' "$folder/summary.txt" || code=1
    exit "$code"
}

mkdir -p "$folder" || exit 2
rm -rf "$folder/site" "$folder/phantoms" "$folder"/*.json "$folder"/*.txt "$folder"/*.log  # of an earlier run
: >"$folder/summary.txt"
trap finish EXIT
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

# Side by side where there is a GPU: what takes long is the compilation of kernels, a core each, and nothing is timed. The
# last one compiles those of the published size, so that whatever is measured below finds them in Triton's cache.
pytest blocks-tests 150 tests/gpu/test_blocks_gpu.py &
alone
pytest steps-tests 150 tests/gpu/test_step_graphs_gpu.py &
alone
pytest tests 150 tests/gpu/test_window_attention_gpu.py tests/gpu/test_sampling_gpu.py tests/gpu/test_devices.py \
    tests/gpu/test_deterministic.py tests/modeling/test_sampling.py &
alone
part phantoms 150 "$python" -W ignore tools/dev/gpu_phantoms.py --folder "$folder/phantoms" \
    --json "$folder/phantoms.json" MODEL.DEVICE "$device" SOLVER.AMP.ENABLED "$amp" &
[ "$device" = cpu ] || measure first 150 "$precision" --what training,infer --batch "$batch" --repeats 1 &
wait

# What the aims are about; seconds without CUDA graphs stand in the same tables.
measure step 60 "$precision" --what training --batch "$batch" --repeats 5
measure large 45 "$precision" --what training --kinds cls --batch "$large" --repeats 5
measure kernels 60 "$precision" --what kernels --kinds cls,box --batch "$batch" --repeats 3
measure recordings 45 "$precision" --what recordings --batch "$batch"
part memory 45 "$python" -W ignore tools/dev/plan_memory.py --config-file "$config" --measure "$batch" \
    MODEL.DEVICE "$device" SOLVER.AMP.ENABLED "$amp" $opts
# Hours of a training from these rates; without a file of rates there is nothing to plan.
[ ! -s "$folder/step.json" ] || part hours 25 "$python" -W ignore tools/dev/plan_training.py --config-file "$config" \
    --rates "$folder/step.json" --batch-per-gpu "$batch" --gpus 1 --cores "$(nproc)" --json "$folder/hours.json"
measure infer 45 "$precision" --what infer --batch "$batch" --repeats 5

# As time allows.
measure others 45 "$precision" --what sampling,backbone,ema --batch "$batch" --repeats 5
measure step-fp32 60 fp32 --what training --batch "$batch" --repeats 3
measure published 90 "$precision" --what training --kinds "cls,box released" --batch "$batch" --repeats 3 \
    --reference plain,fast
# Building takes minutes: student and teacher are one graph each.
measure compiled 200 "$precision" --what training --kinds cls --batch "$large" --repeats 5 FX.COMPILE default
pytest compiled-tests 120 tests/gpu/test_compiled.py
