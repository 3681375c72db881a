"""From a repo name to a published checkpoint and back, over real HTTP, on models of both libraries."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import nn

import hubclean
from hubclean.cleansing import pipeline
from hubclean.errors import DataError, HubcleanError, OptionError, OutputError, RefusedError
from hubclean.lab.attacks.wanet import WaNet
from hubclean.nets import loading
from hubclean.nets.datasets import Sizes
from hubclean.nets.session import open_session
from hubclean.nets.triggers import Trigger, load_stamp, save_stamp
from hubclean.records import Audit, from_json
from support import ROOT
from support.hub_server import HubServer
from support.image_sets import class_folders, image_set
from support.tiny_models import make_repo
from support.work import HANGS

BRIEF = ("steps=2", "batches=1", "neural-cleanse.batch_size=4", "seeds=1", "epochs=1", "step=0.2")
SIZES = Sizes(30, 30, 40)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders with the names of ``tiny_models``."""
    return class_folders(tmp_path_factory.mktemp("pictures"), image_set(100))


def upload(hub: HubServer, name: str, folder: Path) -> str:
    return hub.create(name, {file.name: file for file in folder.iterdir()})


def run(target: Any, pictures: Path, out: Path, **options: Any) -> Audit:
    options = {"given": BRIEF, "sizes": SIZES, "always": True, "defense": "fine-pruning", **options}
    options = {"accept_accuracy": True, **options}  # nets with random weights
    return hubclean.clean(target, pictures, out, session=open_session("cpu", seed=5, batch_size=32), **options).audit


@pytest.mark.parametrize("kind", ["timm-efficientnet", "timm-swin", "hf-vit"])
def test_clean_push_and_pull_back(kind: str, hub: HubServer, pictures: Path, tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", kind)
    sha = upload(hub, "org/model", repo)
    audit = run("org/model", pictures, tmp_path / "out")
    assert (audit.origin.repo_id, audit.origin.revision) == ("org/model", sha)
    out = tmp_path / "out"
    assert from_json(Audit, json.loads((out / "hubclean/audit.json").read_text())) == audit
    for row in (*audit.outputs,):
        assert hashlib.sha256((out / row.path).read_bytes()).hexdigest() == row.sha256
    for row in audit.inputs:
        assert hashlib.sha256((repo / row.path).read_bytes()).hexdigest() == row.sha256
    assert (out / "config.json").read_bytes() == (repo / "config.json").read_bytes()
    changed = differing(repo / "model.safetensors", out / "model.safetensors")
    assert changed
    assert set(audit.cleansing.changed) == changed
    assert not list(out.rglob("*.bin")) + list(out.rglob("*.py"))
    assert {file.path for file in audit.outputs} >= {"hubclean/neural-cleanse-norms.png", "hubclean/pruning-curve.png"}
    assert str(tmp_path) not in (out / "hubclean/audit.json").read_text() + (out / "README.md").read_text()

    report = hubclean.push(out, "alice/model", token=hub.write_token, force=True)
    assert report.commit
    pulled = tmp_path / "pulled"
    from huggingface_hub import snapshot_download

    snapshot_download("alice/model", local_dir=pulled)
    for row in audit.outputs:
        assert (pulled / row.path).read_bytes() == (out / row.path).read_bytes()
    assert {row.rule for row in hubclean.scan("alice/model").findings} <= {"HC-REP-003"}  # the Hub has yet to scan


def differing(one: Path, other: Path) -> set[str]:
    with safe_open(one, "pt") as left, safe_open(other, "pt") as right:
        assert list(left.keys()) == list(right.keys())
        assert left.metadata() == right.metadata()
        return {key for key in left.keys() if not torch.equal(left.get_tensor(key), right.get_tensor(key))}  # noqa: SIM118


def test_the_control_writes_what_it_read(pictures: Path, tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", "timm-resnet")
    audit = run(str(repo), pictures, tmp_path / "out", detectors=("skip",), defense="none", given=())
    assert (tmp_path / "out/model.safetensors").read_bytes() == (repo / "model.safetensors").read_bytes()
    assert audit.cleansing.changed == ()
    assert audit.cleansing.before == audit.cleansing.after
    assert [skipped.step for skipped in audit.skipped] == ["detection", "retuning check"]
    assert audit.exit_code == 2, "nothing was decided"


def test_both_stages_are_kept_and_measured(pictures: Path, tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", "hf-resnet")
    audit = run(str(repo), pictures, tmp_path / "out")
    folders = {stage.name: stage.folder for stage in audit.cleansing.stages}
    assert sorted(folders) == ["fine-tuned", "pruned"]
    assert folders[audit.cleansing.kept] == "."
    (other,) = [folder for folder in folders.values() if folder != "."]
    weights = [(tmp_path / "out" / folder / "model.safetensors").read_bytes() for folder in (".", other)]
    assert weights[0] != weights[1]


def test_the_planted_trigger_measures_and_is_shown_to_nobody(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hubclean.methods.defenses.none import NoDefense
    from hubclean.methods.interface import Cleansing

    planted = Trigger(torch.ones(1, 32, 32), torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(1)), 2)
    given: list[tuple[Trigger, ...]] = []
    plain = NoDefense.cleanse

    def spy(self: NoDefense, checkpoint: Any, data: Any, triggers: Any, session: Any) -> Cleansing:
        given.append(triggers)
        return plain(self, checkpoint, data, triggers, session)

    monkeypatch.setattr(NoDefense, "cleanse", spy)
    repo = make_repo(tmp_path / "repo", "timm-resnet")
    chosen = {"detectors": ("skip",), "defense": "none", "given": (), "planted": (planted,)}
    audit = run(str(repo), pictures, tmp_path / "out", **chosen)
    assert given == [()]
    assert audit.cleansing.before[0].asr_of == "planted"
    assert audit.cleansing.before[0].asr is not None
    assert audit.cleansing.before[0].asr.value in (0.0, 1.0), "a mask of ones shows every image alike"


def test_a_planted_trigger_may_be_of_any_attack_and_must_fit(pictures: Path, tmp_path: Path) -> None:
    repo, warp = make_repo(tmp_path / "repo", "timm-resnet"), WaNet(target=2).trigger((3, 32, 32), 1)
    save_stamp(warp, tmp_path / "warp.safetensors", "wanet")
    chosen: dict[str, Any] = {"detectors": ("skip",), "defense": "none", "given": ()}
    audit = run(str(repo), pictures, tmp_path / "out", **chosen, planted=(load_stamp(tmp_path / "warp.safetensors"),))
    assert audit.cleansing.before[0].asr_of == "planted"
    assert audit.retuning, "whether it comes back is measured too"
    wide = Trigger(torch.ones(1, 40, 40), torch.rand(3, 40, 40), 2)
    for planted, message in (
        (wide, "does not fit images of 3 x 32 x 32"),
        (replace(warp, target=10), "label 10"),
        (replace(warp, target=-1), "-1"),
    ):
        with pytest.raises(DataError, match=message):
            run(str(repo), pictures, tmp_path / "never", **chosen, planted=(planted,))
    assert not (tmp_path / "never").exists()


def test_a_net_of_the_users_own(pictures: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(6 * 49, 10))
    (tmp_path / "repo").mkdir()
    save_file(net.state_dict(), tmp_path / "repo" / "model.safetensors")
    labels = tuple(f"thing {index}" for index in range(10))
    wrapped = loading.wrap(
        net,
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        input_size=(3, 32, 32),
        labels=labels,
        name="own",
        folder=tmp_path / "repo",
    )
    assert (wrapped.site.channels, wrapped.site.block) == (6, 49)
    audit = run(wrapped, pictures, tmp_path / "out")
    assert "4.weight" in audit.cleansing.changed
    assert [skipped.step for skipped in audit.skipped] == ["scan", "retuning check"]


def test_a_repo_with_findings_is_not_loaded(pictures: Path, tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", "hf-resnet")
    config = json.loads((repo / "config.json").read_text())
    (repo / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoConfig": "evil--x"}}))
    with pytest.raises(RefusedError, match="HC-CFG-001"):
        run(str(repo), pictures, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (
            {"given": ("rate=3",)},
            OptionError,
            "none of neural-cleanse, source-specific, fine-pruning has an option 'rate'",
        ),
        ({"given": ("batch_size=3",)}, OptionError, "is an option of several methods"),
        ({"given": ("steps",)}, OptionError, "not of the form KEY=VALUE"),
        ({"defense": "magic"}, OptionError, "no defense named 'magic'; there are: "),
        ({"detectors": ("magic",)}, OptionError, "no detector named 'magic'"),
        ({"sizes": Sizes(90, 90, 90)}, HubcleanError, "do not fit 100 images"),
    ],
)
def test_wrong_input_is_one_sentence_and_leaves_nothing(
    options: dict[str, Any], kind: type[Exception], message: str, pictures: Path, tmp_path: Path
) -> None:
    repo = make_repo(tmp_path / "repo", "timm-resnet")
    with pytest.raises(kind, match=message):
        run(str(repo), pictures, tmp_path / "out", **options)
    assert [place.name for place in tmp_path.iterdir()] == ["repo"]


def test_an_occupied_place_is_refused_before_any_work(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for work in ("open_scanned", "load_with_data", "build_method"):
        monkeypatch.setattr(pipeline, work, lambda *_, **__: pytest.fail("work was begun"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(OutputError, match="exists already"):
        run(str(tmp_path / "nothing"), pictures, tmp_path / "out")
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep"


KILLED = """
import sys
sys.path[:0] = [{root!r}]
from pathlib import Path
from hubclean.whole_folder import whole_folder
import os, signal
with whole_folder(Path({out!r})) as place:
    (place / "model.safetensors").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_no_output_folder(tmp_path: Path) -> None:
    script = KILLED.format(root=str(ROOT), out=str(tmp_path / "out"))
    done = subprocess.run([sys.executable, "-c", script], env=os.environ, timeout=HANGS)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    audit_place = tmp_path / "out"
    from hubclean.whole_folder import whole_folder

    with whole_folder(audit_place) as place:
        (place / "a").write_text("b")
    assert (audit_place / "a").read_text() == "b"


def test_an_error_on_the_way_leaves_nothing(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "same_logits", lambda *_: 0.5)
    with pytest.raises(HubcleanError, match="other logits"):
        run(
            str(make_repo(tmp_path / "repo", "timm-resnet")),
            pictures,
            tmp_path / "out",
            detectors=("skip",),
            defense="none",
            given=(),
        )
    assert [place.name for place in tmp_path.iterdir()] == ["repo"]


def test_imagenet_efficientnet_keeps_its_bytes_and_its_accuracy(
    shared_data: Path, hub: HubServer, tmp_path: Path
) -> None:
    source = shared_data / "models" / "imagenet_tf_efficientnet_lite0"
    hub.create("google/lite0", {name: source / name for name in ("config.json", "model.safetensors")})
    session = open_session("cpu", seed=0, batch_size=32)
    images = shared_data / "images" / "imagenet_sample"
    result = hubclean.clean(
        "google/lite0",
        images,
        tmp_path / "out",
        session=session,
        detectors=("skip",),
        defense="none",
        sizes=Sizes(1, 1, 60),
        labels_by="position",  # the model names no label
    )
    accuracy = result.audit.cleansing.after[0].clean_accuracy
    assert accuracy.low <= 0.866 <= accuracy.high
    assert accuracy.value > 0.75
    assert (tmp_path / "out/model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    assert (result.audit.site.channels, result.audit.site.feature != "") == (1280, True)
    hubclean.push(tmp_path / "out", "alice/lite0", token=hub.write_token)
    assert hub.files("alice/lite0")["model.safetensors"] == (source / "model.safetensors").read_bytes()
