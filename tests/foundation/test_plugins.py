"""Methods from outside the package, by entry points: a scanner of a made-up format, defense, detector, attack."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import hubclean
from hubclean import registry
from hubclean.cli.main import main

ACME = '''
"""What a stranger's package brings: the format .wgt, which begins with WGT1 and may name a program to run."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch

from hubclean.errors import DataError
from hubclean.hub import RepoEntry
from hubclean.methods import Cleansing, Detection, Stage
from hubclean.records import DetectionReport, FileVerdict, Finding
from hubclean.registry import Doc
from hubclean.scanning import Reader
from hubclean.scanning.scanners import each, not_checked, ok


@dataclass(frozen=True)
class Weights:
    """Weights of the format .wgt: the text behind the magic must not ask for a program."""

    name: ClassVar[str] = "acme-wgt"
    paper: ClassVar[str] = "the acme manual"
    handles: ClassVar[frozenset[str]] = frozenset({".wgt", ".onnx"})

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        def judge(entry):
            if not entry.path.endswith((".wgt", ".onnx")):
                return
            body = reader.read(entry.path, 1 << 20)
            if not body.startswith(b"WGT1"):
                yield from not_checked(entry, "no WGT1 at its beginning")
            elif b"run:" in body:
                yield Finding("ACME-001", "critical", entry.path, "it names a program to run", "do not load it")
            else:
                yield ok(entry, "WGT1; it names no program")

        yield from each(files, judge)


@dataclass(frozen=True)
class Shrink:
    """Makes all weights smaller, which cures nothing."""

    name: ClassVar[str] = "acme-shrink"
    paper: ClassVar[str] = "the acme manual"
    needs: ClassVar[str] = "nothing"

    factor: Annotated[float, Doc("what the head's weights are multiplied by", 0.0, 1.0)] = 0.5

    def cleanse(self, checkpoint, data, triggers, session):
        copy = checkpoint.copy()
        with torch.no_grad():
            copy.model.get_parameter("net." + checkpoint.site.heads[0].path + ".weight").mul_(self.factor)
        return Cleansing((Stage("shrunk", copy),), "shrunk")


@dataclass(frozen=True)
class Never:
    """Finds nothing, ever."""

    name: ClassVar[str] = "acme-never"
    paper: ClassVar[str] = "the acme manual"
    needs: ClassVar[str] = "nothing"

    def detect(self, checkpoint, data, session):
        said = ("not found", "it never looks", (), 0, 0.0)
        return Detection(DetectionReport(self.name, self.paper, {}, "nothing", 0.0, (), (), (), *said))


@dataclass(frozen=True)
class Sticker:
    """A white pixel."""

    name: ClassVar[str] = "acme-sticker"
    paper: ClassVar[str] = "the acme manual"

    def plant(self, model, images, classes, schedule, session):
        raise DataError("the acme attack is for the catalogue only")
'''
POINTS = """
[hubclean.scanners]
acme = acme_hubclean:Weights
[hubclean.defenses]
acme = acme_hubclean:Shrink
[hubclean.detectors]
acme = acme_hubclean:Never
[hubclean.attacks]
acme = acme_hubclean:Sticker
"""


@pytest.fixture
def acme(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Installs the stranger's package as pip would leave it: a module, and a folder of metadata beside it."""
    site = tmp_path_factory.mktemp("site-packages")
    (site / "acme_hubclean.py").write_text(ACME)
    facts = site / "acme_hubclean-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-hubclean\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(site))
    registry.methods.cache_clear()
    yield
    sys.modules.pop("acme_hubclean", None)
    registry.methods.cache_clear()


def _exit_codes(folder: Path, **files: bytes) -> dict[str, int]:
    codes = {}
    for name, body in files.items():
        place = folder / name
        place.mkdir()
        (place / f"weights.{name.split('_')[-1]}").write_bytes(body)
        codes[name] = CliRunner().invoke(main, ["scan", str(place)]).exit_code
    return codes


SAMPLES = {
    "good_wgt": b"WGT1 1 2 3",
    "bad_wgt": b"WGT1 run: rm -rf /",
    "odd_wgt": b"\x00\x01\x02\x03 something else",
    "program_onnx": b"\x7fELF" + bytes(60),
}


def test_without_the_package_nobody_checks_the_format(tmp_path: Path) -> None:
    assert set(_exit_codes(tmp_path, **SAMPLES).values()) <= {1, 2}
    assert _exit_codes(tmp_path, good2_wgt=SAMPLES["good_wgt"]) == {"good2_wgt": 2}


@pytest.mark.usefixtures("acme")
def test_a_scanner_for_a_new_format_is_one_class(tmp_path: Path) -> None:
    codes = _exit_codes(tmp_path, **SAMPLES)
    # Of a disguise under an ending that it handles, the listing still speaks.
    assert codes == {"good_wgt": 0, "bad_wgt": 1, "odd_wgt": 2, "program_onnx": 1}
    report = hubclean.scan(tmp_path / "program_onnx")
    assert "HC-FMT-001" in {row.rule for row in report.findings}


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize("form", ["sarif", "cyclonedx", "json"])
def test_its_findings_are_in_every_output(form: str, tmp_path: Path) -> None:
    (tmp_path / "w.wgt").write_bytes(SAMPLES["bad_wgt"])
    found = CliRunner().invoke(main, ["scan", str(tmp_path), "--format", form])
    assert found.exit_code == 1
    assert "ACME-001" in json.dumps(json.loads(found.stdout))


@pytest.mark.usefixtures("acme")
def test_methods_of_every_kind_are_listed_with_their_options() -> None:
    listed = CliRunner().invoke(main, ["methods"]).stdout
    assert all(name in listed for name in ("acme-wgt", "acme-shrink", "acme-never", "acme-sticker"))
    assert "multiplied by" in CliRunner().invoke(main, ["methods", "acme-shrink"]).stdout


@pytest.mark.usefixtures("acme")
def test_a_defense_and_a_detector_do_the_main_job(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),
                              torch.nn.Flatten(), torch.nn.Linear(8, 2))  # fmt: skip
    checkpoint = hubclean.wrap(net, torch.zeros(1, 3, 16, 16))
    result = hubclean.clean(
        checkpoint,
        None,
        tmp_path / "out",
        detectors=["acme-never"],
        defense="acme-shrink",
        given=["factor=0.25"],
        always=True,
    )
    audit = result.audit
    assert [row.detector for row in audit.detections] == ["acme-never"]
    assert (audit.cleansing.defense, audit.cleansing.options) == ("acme-shrink", {"factor": 0.25})
    assert audit.cleansing.changed == ("4.weight",)
    pixels = torch.rand(2, 3, 16, 16)
    head = net[-1]
    assert isinstance(head, torch.nn.Linear)
    expected = (net(pixels) - head.bias) * 0.25 + head.bias
    assert torch.allclose(result.checkpoint.model(pixels), expected, atol=1e-5)


@pytest.mark.usefixtures("acme")
def test_an_attack_is_known_to_the_bench() -> None:
    from hubclean.lab.bench.plans import Plan

    assert "acme-sticker" in registry.methods("attacks")
    assert Plan.__dataclass_fields__
