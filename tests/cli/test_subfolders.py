"""Models that lie in a folder of their repo: every command takes ``--subfolder``, and says it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from hubclean.cli.main import main
from hubclean.errors import TargetError
from hubclean.hub.repos import LocalRepo
from hubclean.hub.subfolders import below
from hubclean.hub.targets import open_target
from hubclean.nets import loading
from support.hub_server import HubServer
from support.tiny_models import make_repo


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("several") / "repo"
    make_repo(root / "vision" / "big", "hf-vit")
    make_repo(root / "small", "timm-resnet")
    (root / "vision" / "big" / "README.md").unlink()
    (root / "README.md").write_text("---\nlicense: mit\n---\n# of all\n")
    pickled = root / "old"
    pickled.mkdir()
    (pickled / "config.json").write_bytes((root / "small" / "config.json").read_bytes())
    torch.save(
        {"state_dict": {f"model.{n}": v for n, v in load_file(root / "small" / "model.safetensors").items()}},
        pickled / "pytorch_model.bin",
    )
    return root


def run(*words: Any) -> Any:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.mark.parametrize("folder", ["vision/big", "vision/big/", "./vision/big"])
def test_clean_and_its_card_say_where_in_the_repo_it_was(several: Path, folder: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    skipping = ("--detector", "skip", "--defense", "none")
    done = run("clean", several, "--subfolder", folder, "--out", out, *skipping, "--json")
    audit = json.loads(done.stdout)
    assert audit["origin"]["subfolder"] == "vision/big"
    assert "--subfolder vision/big" in audit["command"]
    card = (out / "README.md").read_text()
    assert "(subfolder vision/big)" in card
    assert "\nlicense: mit\n" in card, "the card of the root is that of all"
    assert load_file(out / "model.safetensors").keys() == load_file(several / folder / "model.safetensors").keys()
    images = torch.rand(2, 3, 32, 32)
    assert loading.same_logits(loading.load_checkpoint(LocalRepo(several / "vision" / "big")), out, images) == 0


def test_on_a_hub_scan_site_convert_and_download_take_it(hub: HubServer, several: Path, tmp_path: Path) -> None:
    files = {place.relative_to(several).as_posix(): place for place in several.rglob("*") if place.is_file()}
    hub.create("org/many", {name: place.read_bytes() for name, place in files.items()})
    assert (
        "timm loads small/config.json, small/model.safetensors"
        in run("scan", "org/many", "--subfolder", "small").output
    )
    shown = run("site", "org/many", "--subfolder", "small").output
    assert "(subfolder small)" in shown
    assert "test_resnet" in shown
    done = run("convert", "org/many", "--subfolder", "old", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    kept, made = load_file(several / "small" / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    assert all(torch.equal(kept[name], made[name]) for name in kept)
    record = json.loads((tmp_path / "out" / "hubclean" / "conversion.json").read_text())
    assert record["origin"]["subfolder"] == "old"
    repo = below(open_target("org/many"), "vision/big")
    checkpoint = loading.load_checkpoint(repo)
    assert str(checkpoint.origin).endswith("(subfolder vision/big)")
    assert checkpoint.folder is not None
    assert (checkpoint.folder / "README.md").read_text().startswith("---\nlicense: mit")


@pytest.mark.parametrize("folder", ["..", "small/../..", "/small", "small\\..\\.."])
def test_nothing_outside_the_repo_is_a_subfolder(several: Path, folder: str) -> None:
    with pytest.raises(TargetError, match="no folder inside the repo"):
        below(LocalRepo(several), folder)


def test_a_folder_that_is_not_there_names_those_that_are(several: Path, tmp_path: Path) -> None:
    with pytest.raises(
        TargetError, match=r"no folder 'vision/small' at repo; folders with files: old, small, vision/big"
    ):
        below(LocalRepo(several), "vision/small")
    done = run("clean", several, "--out", tmp_path / "out", "--detector", "skip", "--defense", "none")
    assert done.exit_code == 2
    assert "models lie in old, small, vision/big: --subfolder" in done.output
