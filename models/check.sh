#!/usr/bin/env bash
# Format, lint and types of the Python in models/ and bench/gpu, for a virtual environment with requirements-dev.txt:
#
#   python3.11 -m venv .venv && .venv/bin/pip install -r models/requirements-dev.txt
#   PATH=$PWD/.venv/bin:$PATH models/check.sh
set -euo pipefail
cd "$(dirname "$0")/.."

ruff format --no-cache --check models bench/gpu tests/web/clients
ruff check --no-cache models bench/gpu tests/web/clients
# One by one: these are folders of scripts, and two of them have an export.py.
for folder in models/export models/train bench/gpu; do
  (cd "$folder" && mypy --config-file ../../pyproject.toml .)
done
