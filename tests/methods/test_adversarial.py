"""What I-BAU and SAU share: modes, which epoch is kept, what it costs, divergence, and two processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from hubclean.hub.repos import LocalRepo
from hubclean.methods.defenses.i_bau import IBAU
from hubclean.methods.defenses.sau import SAU
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData
from hubclean.nets.session import open_session
from support import ROOT
from support.image_sets import defense_data, image_set
from support.tiny_models import make_repo
from support.work import HANGS

SESSION = open_session("cpu", seed=1, batch_size=64)
BRIEF = {"epochs": 1, "steps": 2, "batch_size": 20}


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return loading.load_checkpoint(LocalRepo(make_repo(tmp_path_factory.mktemp("r"), "timm-resnet")))


def moved(before: Checkpoint, after: Checkpoint) -> set[str]:
    old, new = before.model.state_dict(), after.model.state_dict()
    return {name for name in old if not torch.equal(old[name], new[name])}


@pytest.mark.parametrize("defense", [IBAU, SAU])
def test_statistics_move_only_where_they_are_asked_to_and_images_are_enough(defense: Any, resnet: Checkpoint) -> None:
    brief = {**BRIEF, "batch_size": 100} | ({"terms": 0} if defense is IBAU else {})
    for mode, count, moves in (("eval", 200, False), ("train", 199, False), ("train", 200, True)):
        data = DefenseData(image_set(count), image_set(10))
        cleansing = defense(**brief, mode=mode).cleanse(resnet, data, (), SESSION)
        running = [name for name in moved(resnet, cleansing.checkpoint) if "running" in name]
        assert bool(running) == moves, (mode, count)
        assert "net.fc.weight" in moved(resnet, cleansing.checkpoint)


@pytest.mark.parametrize("defense", [IBAU, SAU])
def test_nets_without_second_derivatives_are_tuned_too(defense: Any, tmp_path: Path) -> None:
    """MobileNetV3's hard sigmoid has none in torch."""
    checkpoint = loading.load_checkpoint(LocalRepo(make_repo(tmp_path, "timm-mobilenetv3")))
    cleansing = defense(**BRIEF).cleanse(checkpoint, defense_data(), (), SESSION)
    assert cleansing.kept == "tuned"
    assert moved(checkpoint, cleansing.checkpoint)


def test_passes_count_the_search_too(resnet: Checkpoint) -> None:
    """40 images in two batches: what each row of a step costs, as the formulas of both methods say."""
    looked = 3 * (40 // 3)
    for defense, a_row in (
        (IBAU(**BRIEF, terms=0, share=1.0), 1 + 2 / 3 + 1),  # search, both losses told, step
        (IBAU(**BRIEF, terms=0, share=0.5), 1 + 2 / 3 + 2),
        (IBAU(**BRIEF, terms=3, share=1.0), 1 + 2 / 3 + 5 + 3),  # a slope and two differences, two rows more
        (SAU(**BRIEF), 2 * 2 + 2 + 1 / 3),
    ):
        cleansing = defense.cleanse(resnet, defense_data(), (), SESSION)
        assert abs(cleansing.passes - looked - 40 * a_row) <= 2, defense


@pytest.mark.parametrize("defense", [IBAU, SAU])
def test_divergence_leaves_an_unchanged_copy_and_says_so(defense: Any, resnet: Checkpoint) -> None:
    broken = resnet.copy()
    with torch.no_grad():
        broken.model.get_parameter("net.fc.weight").mul_(1e38)
    found = defense(**BRIEF, learning_rate=10.0, optimizer="sgd").cleanse(broken, defense_data(), (), SESSION)
    assert found.kept == "unchanged"
    assert not moved(broken, found.checkpoint)
    assert "diverged" in found.notes[-1]


@pytest.mark.parametrize(
    ("scores", "keep", "kept", "said"),
    [
        ([0.80, 0.79, 0.70, 0.76], "last", 3, False),  # 0.76 is within four points of 0.80
        ([0.80, 0.70, 0.76, 0.75], "last", 2, False),
        ([0.80, 0.60, 0.70, 0.70], "last", 2, True),
        ([0.80, 0.78, 0.79, 0.79], "best", 2, False),
    ],
)
def test_the_last_epoch_within_the_tolerance_is_kept(
    scores: list[float], keep: str, kept: int, said: bool, resnet: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter(scores)
    rate = type("Rate", (), {})

    def accuracy(*_: Any) -> Any:
        one = rate()
        one.value = next(left, scores[0])
        return one

    for place in ("hubclean.methods.adversarial.clean_accuracy", "hubclean.methods.tuning.clean_accuracy"):
        monkeypatch.setattr(place, accuracy)
    defense = SAU(**{**BRIEF, "epochs": 3, "steps": 1}, keep=keep)
    notes = defense.cleanse(resnet, defense_data(), (), SESSION).notes
    assert f"after {kept} epochs" in notes[-1]
    assert any("no epoch stayed within" in note for note in notes) == said


SCRIPT = """
import hashlib, sys
sys.path[:0] = [{root!r}, {tests!r}]
import torch
from pathlib import Path
from hubclean.hub.repos import LocalRepo
from hubclean.methods.defenses.i_bau import IBAU
from hubclean.methods.defenses.sau import SAU
from hubclean.nets import loading
from hubclean.nets.session import open_session
from safetensors.torch import save_file
from support.image_sets import defense_data
torch.set_num_threads(1)
session = open_session("cpu", seed=4)
checkpoint = loading.load_checkpoint(LocalRepo(Path({repo!r})))
rank = session.accelerator.process_index
for defense in (IBAU(epochs=1, steps=2, batch_size=20, terms=2), SAU(epochs=1, steps=2, batch_size=20)):
    found = defense.cleanse(checkpoint, defense_data(), (), session)
    state = {{name: value.contiguous() for name, value in found.checkpoint.model.state_dict().items()}}
    save_file(state | {{"passes": torch.tensor(found.passes)}}, f"{out}/{{defense.name}}-{{rank}}.safetensors")
"""


def test_two_processes_end_at_one_net_and_i_bau_at_the_one_of_one_process(tmp_path: Path, resnet: Checkpoint) -> None:
    repo = make_repo(tmp_path / "repo", "timm-resnet")
    script = tmp_path / "run.py"
    script.write_text(SCRIPT.format(tests=str(ROOT / "tests"), root=str(ROOT), repo=str(repo), out=tmp_path))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0", "--standalone"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, str(script)], env=environment, capture_output=True, text=True, timeout=HANGS)
    assert done.returncode == 0, done.stderr[-2000:]
    session, checkpoint = open_session("cpu", seed=4), loading.load_checkpoint(LocalRepo(repo))
    for defense in (IBAU(epochs=1, steps=2, batch_size=20, terms=2), SAU(epochs=1, steps=2, batch_size=20)):
        one, other = (load_file(tmp_path / f"{defense.name}-{rank}.safetensors") for rank in (0, 1))
        assert all(torch.equal(value, other[name]) for name, value in one.items())
        alone = defense.cleanse(checkpoint, defense_data(), (), session)
        assert abs(int(one.pop("passes")) - alone.passes) <= 2
        if defense.name == "i-bau":
            state, first = alone.checkpoint.model.state_dict(), checkpoint.model.state_dict()
            names = [name for name, _ in checkpoint.model.named_parameters()]
            apart, gone = (sum(float((state[n] - b[n]).square().sum()) for n in names) ** 0.5 for b in (one, first))
            assert apart < 0.1 * gone
