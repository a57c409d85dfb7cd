#!/usr/bin/env bash
# Re-makes everything that models/export made in this repository, from nothing but Python 3.11 and pip:
# a virtual environment, the tiny checkpoint, its pack and the golden data. Run from anywhere.
#
#   PYTHON=python3.11            the interpreter of the virtual environment
#   TORCH_INDEX_URL=<url>        PyTorch's index of CPU builds, to spare the download of CUDA
#   VENV=<existing environment>  use this one and install nothing
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export PYTHONDONTWRITEBYTECODE=1

if [ -z "${VENV:-}" ]; then
  VENV=$scratch/venv
  "${PYTHON:-python3.11}" -m venv "$VENV"
  if [ -n "${TORCH_INDEX_URL:-}" ]; then
    "$VENV/bin/pip" install --quiet --index-url "$TORCH_INDEX_URL" "$(grep '^torch==' requirements.txt)"
  fi
  "$VENV/bin/pip" install --quiet -r requirements.txt
fi

"$VENV/bin/python" make_tiny.py "$scratch/checkpoint" "$scratch/pack" "$scratch/cores"
rm -rf "$root/tests/fixtures/packs/tiny" "$root/tests/fixtures/cores"
cp -r "$scratch/pack" "$root/tests/fixtures/packs/tiny"
cp -r "$scratch/cores" "$root/tests/fixtures/cores"
"$VENV/bin/python" make_tiny_svd.py "$scratch/svd" "$scratch/svd-pack"
rm -rf "$root/tests/fixtures/packs/tiny-svd"
cp -r "$scratch/svd-pack" "$root/tests/fixtures/packs/tiny-svd"
"$VENV/bin/python" make_drawn.py "$root/tests/fixtures/drawn/unet_cond/model.onnx"
"$VENV/bin/python" make_golden.py "$scratch/checkpoint" "$root/tests/golden"
"$VENV/bin/python" make_golden_svd.py "$scratch/svd" "$root/tests/golden/svd"
"$VENV/bin/python" make_numerics.py
"$VENV/bin/python" make_prompts.py
"$VENV/bin/python" make_pictures.py
"$VENV/bin/python" make_profiles.py
