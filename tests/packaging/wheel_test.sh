#!/usr/bin/env bash
# The wheel alone, without extras, in a fresh venv: data folders are in it, scan works without torch, clean says what it
# lacks; then, with the libraries of models in reach, a user's script is checked by mypy against what is installed.
set -euo pipefail
python="$(cd "$(dirname "$1")" && pwd)/$(basename "$1")"
work="$(mktemp -d)"
here="$PWD"
trap 'rm -rf "$work"' EXIT
"$python" -m build --outdir "$work/dist" . > "$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --constraint constraints.txt "$work"/dist/*.whl
cd "$work"
! ./venv/bin/python -c 'import torch' 2> /dev/null
mkdir model && printf '{"architecture": "resnet18"}' > model/config.json
./venv/bin/python - <<'PY'
import json, struct
header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
open("model/model.safetensors", "wb").write(struct.pack("<Q", len(header)) + header + bytes(4))
from hubclean import resources
assert any(resources.data_folder("hooks").glob("*.toml")) and any(resources.data_folder("model_cards").rglob("*.j2"))
assert any(resources.data_folder("demo_images").rglob("*.parquet"))
assert (resources.data_folder("model_cards") / "error_rates.json").is_file()
import hubclean, pathlib
assert (pathlib.Path(hubclean.__file__).parent / "scanning" / "scan.schema.json").is_file()
assert hubclean.scan("model").exit_code == 0
PY
./venv/bin/hubclean scan model
./venv/bin/hubclean push --help > /dev/null
code=0; ./venv/bin/hubclean clean model --data model --out out 2> err || code=$?
test "$code" = 2 && grep -q "pip install 'hubclean\[models\]'" err && test ! -e out
cp "$here/tests/packaging/user_script.py" .
"$python" -c 'import site; print(site.getsitepackages()[0])' > "$(echo venv/lib/python3*/site-packages)/models.pth"
"$python" -m mypy --strict --config-file= --python-executable "$work/venv/bin/python" --cache-dir "$here/.mypy_cache" user_script.py
echo "wheel test passed"
