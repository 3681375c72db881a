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
  PYTHONPATH=. "$venv/bin/python" -m pytest -q tests/test_repos.py tests/test_fetch.py tests/test_hub.py tests/test_hub_server.py tests/test_transport.py \
    tests/test_transport_strict.py tests/test_reading.py tests/test_downloading.py tests/test_scan_command.py \
    tests/test_download_guard.py tests/test_hf_extension.py \
    tests/test_publishing.py tests/test_publishing_refused.py tests/test_sanitized.py
done
