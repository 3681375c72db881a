"""``hubclean convert``, and ``clean`` on repos that have their weights as a pickle only."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from hubclean.cli.main import main
from hubclean.errors import FormatError, OutputError, RefusedError
from hubclean.hub.repos import LocalRepo
from hubclean.nets import loading
from hubclean.scanning.converting import convert
from support import ROOT
from support.hub_server import HubServer
from support.work import HANGS

CONFIG = {"architecture": "test_resnet", "num_classes": 3}


def net() -> Any:
    torch.manual_seed(0)
    return timm.create_model("test_resnet", num_classes=3)


def saved(folder: Path, wrap: Any = lambda state: state, **options: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    torch.save(wrap(net().state_dict()), folder / "pytorch_model.bin", **options)
    return folder


def run(*words: Any) -> Any:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_a_hub_repo_with_a_pickle_becomes_a_folder_that_timm_loads(hub: HubServer, tmp_path: Path) -> None:
    source = saved(
        tmp_path / "repo", lambda state: {"state_dict": {f"module.{k}": v for k, v in state.items()}, "n": 1}
    )
    files = {place.name: place.read_bytes() for place in source.iterdir()} | {
        "LICENSE": b"Apache",
        "run.py": b"import os",
    }
    hub.create("org/model", files)
    done = run("convert", "org/model", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "left behind: n: int" in done.output
    assert "taken off every name: module." in done.output
    assert {place.name for place in (tmp_path / "out").iterdir()} == {
        "LICENSE", "config.json", "hubclean", "model.safetensors"
    }  # fmt: skip
    expected = net().state_dict()
    found = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    record = json.loads((tmp_path / "out" / "hubclean" / "conversion.json").read_text())
    assert record["conversion"]["prefix"] == "module."
    assert record["conversion"]["inputs"][0]["path"] == "pytorch_model.bin"
    assert record["origin"]["revision"]


def test_shards_become_shards_with_an_index(tmp_path: Path) -> None:
    one, two = {"a": torch.randn(3), "b": torch.randn(2)}, {"c": torch.randn(4)}
    torch.save(one, tmp_path / "pytorch_model-00001-of-00002.bin")
    torch.save(two, tmp_path / "pytorch_model-00002-of-00002.bin")
    places = {"a": 1, "b": 1, "c": 2}
    index = {"weight_map": {name: f"pytorch_model-0000{n}-of-00002.bin" for name, n in places.items()}}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    report = convert(tmp_path, tmp_path / "out")
    assert report.exit_code == 0, report.refused
    written = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert written["metadata"]["total_size"] == 36
    for name, tensor in (one | two).items():
        assert torch.equal(load_file(tmp_path / "out" / written["weight_map"][name])[name], tensor)


def test_what_is_wrong_between_shards_is_blamed_on_no_single_one(tmp_path: Path) -> None:
    for number in (1, 2):
        torch.save({"a": torch.ones(2), f"b{number}": torch.ones(1)}, tmp_path / f"pytorch_model-{number}.bin")
    index = {"weight_map": {"a": "pytorch_model-1.bin", "b1": "pytorch_model-1.bin", "b2": "pytorch_model-2.bin"}}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    with pytest.raises(FormatError, match=r"^the tensor 'a' is in two shards$"):
        convert(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_finding_and_an_unchecked_file_refuse_it_and_nothing_is_written(hub: HubServer, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return print, ("x",)

    hub.create("org/evil", {"config.json": b"{}", "pytorch_model.bin": pickle.dumps(Evil())})
    hub.create("org/odd", {"config.json": b"{}", "pytorch_model.bin": b"\x01\x02" * 50})
    for name, code in (("org/evil", 1), ("org/odd", 2)):
        done = run("convert", name, "--out", tmp_path / "out")
        assert done.exit_code == code, done.output
        assert "nothing was converted" in done.output
        assert list(tmp_path.iterdir()) == []


def test_what_there_is_to_convert_must_be_clear(tmp_path: Path) -> None:
    folder = tmp_path / "repo"
    folder.mkdir()
    for name in ("a.pth", "b.pth", "optimizer.pt"):
        torch.save({"w": torch.ones(2)}, folder / name)
    with pytest.raises(RefusedError, match=r"2 pickles \(a.pth, b.pth\): hubclean\.convert\(file=\.\.\.\) takes one"):
        convert(folder, tmp_path / "out")
    assert convert(folder, tmp_path / "out", file="b.pth").exit_code == 0
    with pytest.raises(OutputError, match="exists already"):
        convert(folder, tmp_path / "out", file="b.pth")
    (folder / "model.safetensors").write_bytes((tmp_path / "out" / "model.safetensors").read_bytes())
    with pytest.raises(RefusedError, match="safetensors already"):
        convert(folder, tmp_path / "more")
    with pytest.raises(RefusedError, match=r"no file 'c\.pth'"):
        convert(folder, tmp_path / "more", file="c.pth")


def test_what_cannot_be_converted_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = saved(tmp_path / "repo", lambda state: {**state, "fc.weight": torch.zeros(1, dtype=torch.complex128)})
    with pytest.raises(FormatError, match="complex128"):
        convert(folder, tmp_path / "out")
    assert [place.name for place in tmp_path.iterdir()] == ["repo"]


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
def test_a_pickled_checkpoint_is_loaded_without_unpickling(
    tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved(tmp_path / "repo", **options)
    monkeypatch.setattr(torch, "load", None)
    checkpoint = loading.load_checkpoint(LocalRepo(folder))
    expected = net().state_dict()
    found = checkpoint.model.net.state_dict()  # type: ignore[union-attr]
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert checkpoint.conversion
    assert checkpoint.conversion.inputs[0].path == "pytorch_model.bin"


def test_clean_takes_a_pickled_repo_and_the_card_says_so(tmp_path: Path, hub: HubServer) -> None:
    folder = saved(tmp_path / "repo")
    hub.create("org/model", {place.name: place.read_bytes() for place in folder.iterdir()})
    words = ["clean", "org/model", "--out", tmp_path / "out", "--detector", "skip", "--defense", "none", "--json"]
    done = run(*words)
    assert done.exit_code == 2, done.output  # no detection, no verdict
    audit = json.loads((tmp_path / "out" / "hubclean" / "audit.json").read_text())
    assert audit["conversion"]["inputs"][0]["path"] == "pytorch_model.bin"
    card = (tmp_path / "out" / "README.md").read_text()
    assert "It was never unpickled" in card
    assert audit["conversion"]["inputs"][0]["sha256"] in card
    state = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).state_dict()
    expected = net().state_dict()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_memory_stays_near_a_piece_and_not_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "repo"
    folder.mkdir()
    torch.save({f"w{n}": torch.full((8 << 20,), float(n)) for n in range(5)}, folder / "model.pth")  # 160 MB
    script = (
        "import resource, sys; from hubclean.scanning.converting import convert; from pathlib import Path\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert convert(Path(sys.argv[1]), Path(sys.argv[2])).exit_code == 0\n"
        "print(open('/proc/self/status').read().split('RssAnon:')[1].split()[0], 'torch' in sys.modules)"
    )
    words = [sys.executable, "-c", script, str(folder), str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT, timeout=HANGS)
    anonymous, torch_loaded = done.stdout.split()
    assert int(anonymous) < 100_000, "more than 100 MB of memory of its own"
    assert torch_loaded == "False"
