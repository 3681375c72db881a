"""What a user writes, checked by ``mypy --strict`` against the installed wheel: nothing of it may be ``Any``."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import hubclean
from hubclean.errors import UnsafeRepoError
from hubclean.records import Audit, FeatureSite, Finding, ScanReport


class Shapes(Dataset[tuple[Tensor, int]]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.zeros(3, 32, 32), index % 2


def gate(target: str) -> list[str]:
    report = hubclean.scan(target, gate="medium", allow_unchecked=["*.onnx"])
    assert_type(report, ScanReport)
    assert_type(report.exit_code, int)
    assert_type(report.findings, tuple[Finding, ...])
    return [finding.rule for finding in report.findings]


def guarded() -> ScanReport | None:
    try:
        with hubclean.guard(unscanned=("dataset",)):
            return None
    except UnsafeRepoError as error:
        return error.report


def cleanse(net: nn.Module, out: Path) -> nn.Module:
    checkpoint = hubclean.wrap(net, torch.zeros(1, 3, 32, 32), labels=["cat", "dog"])
    assert_type(checkpoint, hubclean.Checkpoint)
    assert_type(checkpoint.site, FeatureSite)
    session = hubclean.open_session("cpu", seed=1)
    result = hubclean.clean(checkpoint, data=Shapes(), out=out, session=session, sizes=hubclean.Sizes(1, 1, 2))
    assert_type(result, hubclean.CleanResult)
    assert_type(result.audit, Audit)
    hubclean.clean("org/model", "images", out, defense="fst", given=["alpha=0.2"])
    hubclean.clean(checkpoint, (torch.zeros(4, 3, 32, 32), torch.zeros(4)), out, retune=False)
    return result.checkpoint.model


def publish(folder: Path) -> str | None:
    return hubclean.push(folder, "me/model", dry_run=True).commit


def wrong(out: Path) -> None:
    hubclean.scan("org/model", gate="hgih")  # type: ignore[arg-type]
    hubclean.clean("org/model", None, out, defence="fst")  # type: ignore[call-arg]
    hubclean.download("org/model", gatee="high")  # type: ignore[call-arg]
    hubclean.scann("org/model")  # type: ignore[attr-defined]
    hubclean.push(out, "me/model").comit  # type: ignore[attr-defined]  # noqa: B018
