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
  PYTHONPATH=. "$venv/bin/python" -m pytest -q tests/hub/test_repos.py tests/hub/test_fetch.py tests/hub/test_hub_repo.py tests/support/test_hub_server.py tests/hub/test_transport.py \
    tests/hub/test_transport_strict.py tests/scanning/test_reader.py tests/scanning/test_downloading.py tests/cli/test_scan.py \
    tests/scanning/guard/test_guard.py tests/cli/test_hf_extension.py \
    tests/hub/test_publish.py tests/hub/test_publish_refused.py tests/hub/test_audited_folder.py
done
