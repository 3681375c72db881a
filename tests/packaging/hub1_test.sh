#!/usr/bin/env bash
# scan and push under the oldest supported and the last huggingface-hub 1.x, with the base install (no torch).
set -euo pipefail
for version in 1.0.0 1.33.0; do
  venv=".venv-hub-$version"
  if [ ! -e "$venv/.ready" ]; then
    "$1" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet "huggingface-hub==$version" safetensors click pyyaml jinja2 pytest pytest-socket hypothesis
    touch "$venv/.ready"
  fi
  echo "huggingface-hub $version"
  PYTHONPATH=. "$venv/bin/python" -m pytest -q tests/hub tests/support tests/scanning/test_reader.py tests/scanning/test_downloading.py \
    tests/scanning/guard/test_guard.py tests/scanning/guard/test_cached_files.py tests/scanning/guard/test_several_guards.py \
    tests/cli/test_scan.py tests/cli/test_hf_extension.py
done
