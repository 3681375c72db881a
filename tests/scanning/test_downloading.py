"""``download``: only what is needed and was judged, every byte checked, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hubclean.cli.main import main
from hubclean.errors import HubcleanError, IntegrityError, OutputError
from hubclean.hub import transport
from hubclean.hub.repos import LocalRepo
from hubclean.scanning import downloading
from hubclean.scanning.downloading import download
from hubclean.scanning.engine import scan
from support.hub_server import HubServer
from support.scanned_files import safetensors, written

WEIGHTS = safetensors({"a": {"dtype": "F32", "shape": [1 << 15], "data_offsets": [0, 1 << 17]}}, bytes(1 << 17))
FILES = {
    "config.json": b'{"architecture": "test_resnet"}',
    "model.safetensors": WEIGHTS,
    "README.md": b"# hi",
    "LICENSE": b"Apache",
    "sub/labels.txt": b"cat",
}
EXTRA = {
    "pytorch_model.bin": pickle.dumps({}),
    "training_args.bin": pickle.dumps({}),
    "model.onnx": b"\x08",
    "tool.py": b"import os",
    "cat.png": b"\x89PNG\r\n\x1a\n",
    "sub/broken.safetensors": safetensors(data=b""),
}


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_is_needed_comes_whole_and_the_rest_is_named(hub: HubServer, tmp_path: Path) -> None:
    hub.create("org/model", FILES | EXTRA)
    report = download("org/model", tmp_path / "out")
    assert report.exit_code == 0, report.refused
    assert tree(tmp_path / "out") == FILES
    assert {row.path: row.sha256 for row in report.files} == {
        path: hashlib.sha256(body).hexdigest() for path, body in FILES.items()
    }
    why = {row.path: row.why for row in report.left_out}
    assert why.keys() == EXTRA.keys()
    assert "HC-ST-001" in why["sub/broken.safetensors"]
    assert not any(row.sent > 4096 for row in hub.asked("GET", "pytorch_model.bin"))


def test_a_folder_on_disk_is_taken_alike(tmp_path: Path) -> None:
    written(tmp_path / "repo", FILES | EXTRA)
    assert download(LocalRepo(tmp_path / "repo"), tmp_path / "out").exit_code == 0
    assert tree(tmp_path / "out") == FILES


def test_the_branch_may_move_meanwhile(hub: HubServer, tmp_path: Path) -> None:
    sha = hub.create("org/model", FILES)
    hub.fault("call", path="*README.md", times=1, action=lambda: hub.commit("org/model", {"config.json": b"{}"}))
    report = download("org/model", tmp_path / "out")
    assert report.scan.origin.revision == sha
    assert tree(tmp_path / "out") == FILES


@pytest.mark.parametrize("path", ["*model.safetensors*", "*config.json", "*LICENSE"])
def test_a_flipped_bit_keeps_nothing(
    hub: HubServer, tmp_path: Path, path: str, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.create("org/model", FILES)

    def then_flip(*args: Any, **options: Any) -> Any:
        report = scan(*args, **options)
        hub.fault("flip", path=path)
        return report

    monkeypatch.setattr(downloading, "scan", then_flip)
    with pytest.raises(IntegrityError, match="hash"):
        download("org/model", tmp_path / "out")
    assert list(tmp_path.glob("out*")) + list(tmp_path.glob(".out*")) == []
    kept = [place.read_bytes() for place in fresh_cache.rglob("*") if place.is_file() and "blobs" in place.parts]
    assert all(body in FILES.values() for body in kept)


def test_bits_that_flip_after_the_scan_are_found(hub: HubServer, tmp_path: Path) -> None:
    hub.create("org/model", FILES)
    hub.fault("flip", where="cdn", path="*")  # the header's part of the weights is read first, and is all zeros behind
    done = CliRunner().invoke(main, ["download", "org/model", "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "exit_code", "says"),
    [
        ({"config.json": b'{"auto_map": {"AutoModel": "m.N"}}'}, 1, "HC-CFG-001"),
        ({"model.safetensors": safetensors(data=b"")}, 1, "HC-ST-001"),
        ({"config.json": b"{"}, 2, "not checked"),
        ({"config.json": b"{", "sub/labels.json": b'{"auto_map": {"A": "b.C"}}'}, 1, "HC-CFG-001"),
        ({"model.safetensors": None}, 2, "no weights"),
        ({"model.safetensors": None, "labels.pkl": b"\x80\x02}."}, 2, "no weights"),
        ({"model.safetensors": None, "pytorch_model.bin": b"\x80\x02\x00"}, 2, ""),
    ],
)
def test_what_is_needed_and_bad_refuses_everything(
    hub: HubServer, tmp_path: Path, change: dict[str, Any], exit_code: int, says: str
) -> None:
    files = {path: body for path, body in (FILES | change).items() if body is not None}
    hub.create("org/model", files)
    done = CliRunner().invoke(main, ["download", "org/model", "--out", str(tmp_path / "out"), "--json"])
    value = json.loads(done.output)
    assert (done.exit_code > 0, value["folder"]) == (True, None)
    assert done.exit_code == exit_code or not says
    assert says in value["refused"]["why"]
    assert not (tmp_path / "out").exists()
    assert not [row for row in hub.asked("GET", where="cdn") if row.sent > 100_000]


def test_a_taken_folder_is_left_alone_before_anything_is_asked(hub: HubServer, tmp_path: Path) -> None:
    hub.create("org/model", FILES)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(OutputError, match="exists already"):
        download("org/model", tmp_path / "out")
    assert tree(tmp_path / "out") == {"mine": b"x"}
    assert hub.asked(contains="/resolve/") == []


def test_a_hub_that_breaks_off_leaves_nothing(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "ATTEMPTS", 2)
    hub.create("org/model", FILES)
    hub.fault("status", status=404, method="HEAD", path="*/resolve/*")
    with pytest.raises(HubcleanError):
        download("org/model", tmp_path / "out")
    assert list(tmp_path.glob("*out*")) == []


def test_the_text_says_what_lies_where(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.create("org/model", FILES | {"tool.py": b"1"})
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["download", "org/model"])
    assert done.exit_code == 0, done.output
    assert tree(tmp_path / "model") == FILES
    assert hashlib.sha256(WEIGHTS).hexdigest() in done.output
    assert "left out: tool.py (not needed)" in done.output
    assert "safe " not in done.output
