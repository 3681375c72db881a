"""The public functions: every argument written out, as their records of options have it; their examples run."""

from __future__ import annotations

import doctest
import inspect
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

import hubclean
from hubclean import errors
from hubclean.cleansing.deep import DeepOptions
from hubclean.cleansing.options import CleanOptions
from hubclean.cleansing.verifying.figures import Images
from hubclean.cleansing.verifying.verify import verify
from hubclean.hub.publish import push
from hubclean.hub.repos import LocalRepo
from hubclean.lab.bench.plans import Plan
from hubclean.nets.loading import load_checkpoint
from hubclean.nets.session import open_session
from hubclean.scanning.converting import convert
from hubclean.scanning.downloading import download
from hubclean.scanning.engine import scan
from hubclean.scanning.guard.options import GuardOptions
from support.hub_server import HubServer
from support.image_sets import answered_folders
from support.tiny_models import make_repo

FILES = ("config.json", "model.safetensors")
PRIVATE = {"ready", "command"}  # a defense that is made already, and the command of another program
RUN = [
    "scan",
    "download",
    "convert",
    "guard",
    "site",
    "locate",
    "wrap",
    "open_session",
    "clean",
    "load_filtered",
    "push",
    "verify",
]
FUNCTIONS = [name for name in hubclean.__all__ if inspect.isfunction(getattr(hubclean, name))]


def _arguments(function: Any) -> set[str]:
    return set(inspect.signature(function).parameters)


def test_no_function_hides_its_arguments() -> None:
    assert len(FUNCTIONS) == 13
    for name in FUNCTIONS:
        signature = inspect.signature(getattr(hubclean, name))
        for row in signature.parameters.values():
            assert row.kind not in (row.VAR_KEYWORD, row.VAR_POSITIONAL), (name, row)
            assert row.annotation is not row.empty, (name, row)
        assert signature.return_annotation is not signature.empty, name


@pytest.mark.parametrize(
    ("public", "inner"),
    [
        (
            hubclean.scan,
            (_arguments(scan) - {"settled"})  # what may be kept is decided here
            | {row.name for row in fields(DeepOptions)}
            | {"deep", "data", "session", "config", "cache"},
        ),
        (hubclean.download, _arguments(download) | {"config"}),
        (hubclean.convert, _arguments(convert) - {"architecture"} | {"config"}),  # what the config builds is found here
        (hubclean.push, _arguments(push)),
        (hubclean.verify, _arguments(verify) - {"images"} | {row.name for row in fields(Images)}),
        (hubclean.guard, {row.name for row in fields(GuardOptions)}),
        (hubclean.open_session, _arguments(open_session)),
        (
            hubclean.clean,
            # Not for the public: a defense that is made already, and the command of another program.
            {row.name for row in fields(CleanOptions)} - {"ready", "command"}
            | {"target", "data", "out", "revision", "session", "config"},
        ),
    ],
)
def test_a_signature_has_all_options_and_no_other(public: Any, inner: set[str]) -> None:
    assert _arguments(public) == inner


def test_every_public_name_is_there_and_listed() -> None:
    for name in hubclean.__all__:
        assert getattr(hubclean, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'scann'"):
        _ = hubclean.scann  # type: ignore[attr-defined]


def test_every_error_and_what_a_report_holds_are_names_of_hubclean() -> None:
    kinds = {name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)}
    assert "UnsafeRepoError" in kinds
    assert kinds | {"ScanReport", "Finding", "FileVerdict", "LoadSet", "RepoRef"} <= set(hubclean.__all__)
    assert hubclean.UnsafeRepoError is errors.UnsafeRepoError


def test_the_package_of_a_command_never_hides_its_function(tmp_path: Path) -> None:
    import hubclean.cleansing.pipeline
    import hubclean.scanning.engine

    assert inspect.isfunction(hubclean.scan)
    assert inspect.isfunction(hubclean.clean)
    (tmp_path / "config.json").write_text("{}")
    assert hubclean.scan(tmp_path).exit_code == hubclean.scan(tmp_path).exit_code == 0


def test_the_old_name_of_a_filter_warns(tmp_path: Path) -> None:
    make_repo(tmp_path / "model", "timm-resnet")
    with pytest.warns(DeprecationWarning, match="load_filtered"), pytest.raises(hubclean.HubcleanError, match="filter"):
        hubclean.load_guarded(tmp_path / "model")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A folder with what the examples speak of, and the names they use."""
    repo = make_repo(tmp_path / "made", "timm-resnet")
    model = tmp_path / "model"
    model.mkdir()
    for name in FILES:
        (model / name).write_bytes((repo / name).read_bytes())
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "config.json").write_bytes((repo / "config.json").read_bytes())
    loaded = load_checkpoint(hubclean.hub.LocalRepo(model))
    torch.save(loaded.model.net.state_dict(), tmp_path / "pickled" / "pytorch_model.bin")
    answered_folders(tmp_path / "images" / "test", model, 60)
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),
                              torch.nn.Flatten(), torch.nn.Linear(8, 2))  # fmt: skip
    with torch.no_grad():  # the second label for bright images
        net[0].weight.fill_(0.02)
        net[4].weight.copy_(torch.tensor([-1.0, 1.0]).view(2, 1).expand(2, 8))
        net[4].bias.copy_(torch.tensor([2.0, -2.0]))
    labels = torch.arange(40) % 2
    pixels = 0.4 * torch.rand(40, 3, 32, 32) + 0.6 * labels.view(-1, 1, 1, 1)
    monkeypatch.chdir(tmp_path)
    return {"hubclean": hubclean, "torch": torch, "net": net, "pixels": pixels, "labels": labels}


def test_the_examples_of_the_docstrings_run(desk: dict[str, Any], hub: HubServer) -> None:
    """In the order in which a user would come by them: what one writes, the next reads."""
    hub.create("org/model", {name: Path("model", name).read_bytes() for name in FILES})
    ran = {}
    for name in RUN:
        function = getattr(hubclean, name)
        (example,) = doctest.DocTestFinder(recurse=False).find(function, name, globs=dict(desk))
        text: list[str] = []
        runner = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
        with warnings.catch_warnings():
            failed, tried = runner.run(example, out=text.append)
        assert not failed, "".join(text)
        ran[name] = tried
    assert set(FUNCTIONS) - ran.keys() == {"load_guarded"}
    assert all(ran.values()), ran


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: hubclean.scan("model", allow_unchecked="*.onnx"), "allow_unchecked"),
        (lambda: hubclean.scan("model", allow="timm.models.resnet.ResNet"), "allow"),
        (lambda: scan("model", allow_unchecked="*"), "allow_unchecked"),  # type: ignore[arg-type]
        (lambda: hubclean.download("model", "x", allow_unchecked="*"), "allow_unchecked"),
        (lambda: hubclean.convert("model", "x", allow="a.b"), "allow"),
        (lambda: hubclean.guard(allow_unchecked="*"), "allow_unchecked"),
        (lambda: hubclean.clean("model", None, "x", detectors="skip"), "detectors"),
        (lambda: hubclean.clean("model", None, "x", given="max_drop=0.1"), "given"),
        (lambda: hubclean.clean("model", None, "x", ballots="a.json"), "ballots"),
        (lambda: hubclean.clean("model", None, "x", feedback=Path("a.json")), "feedback"),
        (lambda: hubclean.clean("model", None, "x", planted="trigger.safetensors"), "planted"),
        (lambda: hubclean.clean("model", None, "x", allow=7), "allow"),
        (lambda: hubclean.scan("model", detectors="mm-bd"), "detectors"),
        (lambda: hubclean.scan("model", given="seeds=1"), "given"),
        (lambda: hubclean.scan("model", allow_unchecked=b"*.onnx"), "allow_unchecked"),
        (lambda: hubclean.scan("model", allow_unchecked={"*.onnx": True}), "allow_unchecked"),
        (lambda: hubclean.scan("model", allow_unchecked=None), "allow_unchecked"),
        (lambda: hubclean.scan("model", allow_unchecked=[b"*.onnx"]), "allow_unchecked"),
        (lambda: hubclean.scan("model", allow_unchecked=[["*.onnx"]]), "allow_unchecked"),
        (lambda: hubclean.guard(unscanned="dataset"), "unscanned"),
        (lambda: GuardOptions(allow_unchecked="*"), "allow_unchecked"),
        (lambda: CleanOptions(allow_unchecked="*"), "allow_unchecked"),
        (lambda: CleanOptions(detectors="skip"), "detectors"),
        (lambda: CleanOptions(ballots="a.json"), "ballots"),
        (lambda: DeepOptions("mm-bd"), "detectors"),
        (lambda: Plan("cifar"), "data"),
        (lambda: Plan(("cifar",), attacks="badnets"), "attacks"),
        (lambda: Plan(("cifar",), seeds=3), "seeds"),
        (lambda: Plan(("cifar",), seeds=("0",)), "seeds"),
        (lambda: Plan(("cifar",), seeds=(True,)), "seeds"),
        (lambda: LocalRepo(Path("model")).fetch("config.json"), "paths"),
    ],
)
def test_one_string_is_not_taken_for_several(call: Any, name: str, desk: dict[str, Any]) -> None:
    """The letters of ``*.onnx`` are patterns too, and the first lets everything pass."""
    with pytest.raises(hubclean.HubcleanError, match=f"^{name} takes several "):
        call()


def test_several_may_come_in_any_sequence() -> None:
    for values in (["*.onnx"], ("*.onnx",), iter(["*.onnx"]), {"*.onnx"}):
        assert GuardOptions(allow_unchecked=values).allow_unchecked == ("*.onnx",)  # type: ignore[arg-type]
    net, example = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 2)), torch.zeros(1, 3, 1, 1)
    for given in ({"mean": "555", "std": "111"}, {"mean": b"555", "std": [1.0] * 3}, {"labels": "ab"}):
        with pytest.raises(hubclean.HubcleanError):
            hubclean.wrap(net, example, **given)


def test_a_net_that_was_not_wrapped_is_named(tmp_path: Path) -> None:
    with pytest.raises(hubclean.HubcleanError, match=r"not Linear: hubclean\.wrap a net first"):
        hubclean.clean(torch.nn.Linear(2, 2), None, tmp_path / "out")  # type: ignore[arg-type]
