#!/bin/sh
# Checks and measures the package on a machine with a GPU and PyTorch, without a network, in under ten minutes.
#
#     sh tools/gpu_check.sh [FOLDER]
#
# Wheels of what the machine lacks (setup.py names all of it, Detectron2 too) lie in WHEELS, by default ./.whl. On a
# connected machine, for the other one's Python, platform and GPU driver (torch and torchvision stay as they are there):
#
#     python -m pip download --no-deps --only-binary=:all: --python-version 3.12 --platform manylinux_2_28_x86_64 \
#         -d .whl fvcore iopath yacs portalocker omegaconf antlr4-python3-runtime hydra-core pycocotools ...
#
# Results go to FOLDER (default ./output/gpu_check): tests.txt, fp32.json, bf16.json, and the tables as *.md to paste
# into docs/benchmarks.md. PYTHON names the interpreter; BATCH the images a step (default 24, the published size).
set -eu

folder=${1:-output/gpu_check}
wheels=${WHEELS:-.whl}
python=${PYTHON:-python3}
batch=${BATCH:-24}
config=configs/foundation_x_swin_b.yaml
mkdir -p "$folder"

if [ -d "$wheels" ]; then
    "$python" -m pip install -q --no-index --no-deps --no-compile --upgrade --target "$folder/site" "$wheels"/*.whl
    PYTHONPATH="$folder/site:$PWD${PYTHONPATH:+:$PYTHONPATH}"
else
    PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
fi
export PYTHONPATH PYTHONUNBUFFERED=1

"$python" -c "import torch; raise SystemExit(0 if torch.cuda.is_available() else 1)" 2>/dev/null || {
    echo "gpu_check: $python finds no PyTorch with a GPU; PYTHON names another interpreter" >&2
    exit 2
}

status=0
timeout 150 "$python" -m pytest -q -rs tests/gpu tests/modeling/test_sampling.py >"$folder/tests.txt" 2>&1 || status=$?
tail -n 15 "$folder/tests.txt"

# fp32 as PyTorch computes it by default (no TF32), then bf16: the ratio of the two tables' images/s is the aim of 3.
# Peaks take a process each, so they are measured once.
for precision in fp32 bf16; do
    more=; limit=290
    [ "$precision" = bf16 ] || { more=--no-memory; limit=110; }
    timeout "$limit" "$python" tools/benchmark.py --config-file "$config" --device cuda --precision "$precision" \
        --batch "$batch" --what step,ema,infer --repeats 5 $more --json "$folder/$precision.json" >"$folder/$precision.md" ||
        status=$?
    cat "$folder/$precision.md"
done
exit "$status"
