"""Scans and cleansings with few images, with images that have no labels, and with none at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import hubclean
from hubclean.cleansing import inputs
from hubclean.cleansing.chosen_methods import method_options
from hubclean.cleansing.deep import DeepOptions, deep_scan
from hubclean.cli.main import main
from hubclean.cli.text.clean import before_after, render_clean
from hubclean.cli.text.scan import render_scan
from hubclean.errors import DataError, OptionError
from hubclean.hub.repos import LocalRepo
from hubclean.hub.targets import open_target
from hubclean.nets import loading
from hubclean.nets.datasets import Sizes
from hubclean.nets.session import open_session
from hubclean.records import Audit, Rate, ScanReport, from_json
from hubclean.scanning import engine
from hubclean.scanning.document import target_scan
from support.hub_server import HubServer
from support.image_sets import image_set
from support.tiny_models import make_repo

SESSION = open_session("cpu", seed=5, batch_size=64)
SHORT = ("mm-bd.steps=2", "mm-bd.images=4")


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repo(tmp_path_factory.mktemp("models") / "tiny", "timm-resnet")


@pytest.fixture(scope="module")
def loose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures side by side in one folder: no class folders, so no labels."""
    place = tmp_path_factory.mktemp("pictures") / "loose"
    place.mkdir()
    for index, pixels in enumerate(image_set(40).pixels):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(place / f"{index}.png")
    return place


def scanned(repo: Path, data: str | None = None, **options: Any) -> ScanReport:
    target = LocalRepo(repo)
    return deep_scan(target, engine.scan(target), SESSION, data, DeepOptions(**options))[0]


def test_without_images_what_needs_none_runs_and_the_rest_is_said(repo: Path) -> None:
    report = scanned(repo, given=SHORT)
    (found,) = report.detections
    assert found.detector == "mm-bd"
    assert len(found.per_label) == 10
    assert found.options["steps"] == 2
    assert [row.reason for row in report.skipped] == [
        f"{name} needs images: give data=" for name in ("neural-cleanse", "source-specific")
    ]
    assert report.exit_code == 2
    alone = scanned(repo, given=SHORT, detectors=("mm-bd",))
    assert alone.skipped == ()
    assert alone.exit_code == 2, "a hint decides nothing"


def test_no_weight_is_fetched_when_nothing_will_run(
    hub: HubServer, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.create("org/model", {file.name: file for file in repo.iterdir()})
    target = open_target("org/model")
    report = engine.scan(target)
    asked = len(hub.asked("GET", "model.safetensors"))
    done, found = deep_scan(target, report, SESSION, None, DeepOptions(("neural-cleanse",)))
    assert found == ()
    assert "give data=" in done.skipped[0].reason
    for wrong in (DeepOptions(("magic",)), DeepOptions(given=("rate=x",)), DeepOptions(given=("colour=3",))):
        with pytest.raises(OptionError):
            deep_scan(target, report, SESSION, None, wrong)
    assert len(hub.asked("GET", "model.safetensors")) == asked


def test_with_images_both_run_and_the_hint_does_not_decide(repo: Path, loose: Path) -> None:
    brief = (*SHORT, "neural-cleanse.steps=1", "batches=1", "batch_size=2", "seeds=1")
    report = scanned(repo, str(loose), given=brief, sizes=Sizes(6, 6))
    said = "12 of 40 pictures of 'loose' (without labels); left: 28 not drawn"
    assert report.images.startswith(said)
    assert said in render_scan(report)
    assert target_scan("t", report).images == report.images
    assert [row.detector for row in report.detections] == ["neural-cleanse", "source-specific", "mm-bd"]
    assert report.skipped == ()
    nc, pairs, hint = report.detections
    assert not pairs.decides, "too few images of a class"
    open_case = replace(report, detections=(replace(nc, verdict="not found", targets=()), hint), judgement=None)
    assert open_case.exit_code == 0
    assert replace(open_case, detections=(replace(nc, verdict="backdoored"), hint)).exit_code == 1


def test_options_go_to_the_method_that_has_them() -> None:
    three = [("detectors", "neural-cleanse"), ("detectors", "mm-bd"), ("defenses", "clp")]
    given = ("seeds=1", "mm-bd.steps=7", "u=2", "neural-cleanse.steps=9")
    shared = method_options(given, three)  # type: ignore[arg-type]
    assert list(shared.values()) == [{"seeds": "1", "steps": "9"}, {"steps": "7"}, {"u": "2"}]
    with pytest.raises(OptionError, match=r"write neural-cleanse\.steps and mm-bd\.steps and clp\.steps"):
        method_options(("steps=3",), three)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"none of neural-cleanse, mm-bd, clp has an option 'mm-bd\.seeds'"):
        method_options(("mm-bd.seeds=3",), three)  # type: ignore[arg-type]


def test_images_without_labels_get_the_models_own_answers(repo: Path, loose: Path) -> None:
    checkpoint = loading.load_checkpoint(LocalRepo(repo))
    loaded = inputs.load_with_data(checkpoint, str(loose), None, Sizes(), SESSION, labelled=False)
    splits = loaded.splits
    assert (splits.report.fit, splits.report.val, splits.report.test) == (20, 20, 0)
    assert (splits.report.matched_by, splits.report.classes, splits.labelled) == ("none", 0, False)
    answers = checkpoint.model(splits.defense.val.images(slice(None))).argmax(1)
    assert torch.equal(splits.defense.val.labels, answers)
    assert "no labels" in splits.warnings[0]
    with pytest.raises(DataError, match="have no labels: they lie in no class folders"):
        inputs.load_with_data(checkpoint, str(loose), None, Sizes(), SESSION)
    with pytest.raises(DataError, match="fit 30 \\+ val 20 do not fit 40 images"):
        inputs.load_with_data(checkpoint, str(loose), None, Sizes(30, 20), SESSION, labelled=False)


def test_clean_without_images_writes_and_claims_no_number(repo: Path, tmp_path: Path) -> None:
    result = hubclean.clean(repo, None, tmp_path / "out", session=SESSION, given=("mm-bd.steps=2", "u=1"))
    audit = result.audit
    assert (audit.detections[0].detector, audit.cleansing.defense) == ("mm-bd", "clp")
    assert (audit.data.source, audit.data.fit, audit.data.val, audit.data.test) == ("none", 0, 0, 0)
    assert audit.cleansing.cut > 0
    assert audit.cleansing.changed
    assert [one.clean_accuracy for one in (*audit.cleansing.before, *audit.cleansing.after)] == [Rate.of(0, 0)] * 2
    assert audit.exit_code == 2
    assert "--data" not in audit.command
    assert "--detector mm-bd --defense clp" in audit.command
    assert from_json(Audit, json.loads((tmp_path / "out/hubclean/audit.json").read_text())) == audit
    card = (tmp_path / "out/README.md").read_text()
    for said in ("**Nothing was measured**", "No images were given", "Clean accuracy: not measured", "not measured |"):
        assert said in card
    for unsaid in ("model-index", "0 test images", "metrics:", "0.0 %"):
        assert unsaid not in card
    shown = render_clean(audit, tmp_path / "out")
    assert "nothing was measured: no images" in shown
    assert "mm-bd (10 labels, 1 seed)" in shown
    assert "0.0%" not in before_after(audit)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"defense": "fine-pruning"},
            r"^fine-pruning needs labelled images: give data=; without it detectors=\['mm-bd'\]",
        ),
        ({"detectors": ("neural-cleanse",)}, "^neural-cleanse needs images: give data="),
        ({"detectors": ("neural-cleanse",), "defense": "bnp"}, "neural-cleanse needs images and bnp needs images"),
    ],
)
def test_clean_without_images_names_what_needs_them(
    options: dict[str, str], said: str, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "load_checkpoint", lambda *_, **__: pytest.fail("the weights were loaded first"))
    with pytest.raises(OptionError, match=said):
        hubclean.clean(repo, None, tmp_path / "out", session=SESSION, **options)
    assert not (tmp_path / "out").exists()


def test_clean_with_images_without_labels(repo: Path, loose: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"detectors": ("skip",), "defense": "bnp", "given": ("u=1.5", "max_drop=1")}
    result = hubclean.clean(repo, loose, tmp_path / "out", session=SESSION, **options)
    audit = result.audit
    assert audit.cleansing.curve[0].clean_accuracy == 1, "agreement with the model's own answers"
    assert audit.cleansing.cut > 0
    assert audit.cleansing.after[0].clean_accuracy.n == 0
    assert "no labels" in result.warnings[0]
    assert "--test" not in audit.command
    card = (tmp_path / "out/README.md").read_text()
    assert "Images without labels from `loose`" in card
    assert audit.data.taken.startswith("all 40 pictures of 'loose' (without labels)")
    assert f"Taken and left: `{audit.data.taken}`" in card
    assert f"  images: {audit.data.taken}\n" in render_clean(audit, result.folder)
    assert "there were no labels" in card
    with pytest.raises(DataError, match="have no labels"):
        hubclean.clean(repo, loose, tmp_path / "other", session=SESSION, detectors=("skip",), defense="fine-pruning")


def test_the_command_line_without_data(repo: Path, tmp_path: Path) -> None:
    words = ["-o", "mm-bd.steps=1", "-o", "mm-bd.images=2", "--device", "cpu"]
    done = CliRunner().invoke(main, ["clean", str(repo), "--out", str(tmp_path / "out"), *words])
    assert done.exit_code == 2
    assert "nothing was measured" in done.stdout
    assert (tmp_path / "out/model.safetensors").is_file()
    done = CliRunner().invoke(main, ["scan", str(repo), "--deep", *words])
    assert done.exit_code == 2
    assert "mm-bd: backdoor undecided" in done.stdout
    assert "skipped deep: neural-cleanse needs images: give --data" in done.stdout
