"""Numbers of an audit that follow from each other: whoever edits one by hand forgets the others."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from hubclean.cleansing.verifying.report import Check, Place, concluded
from hubclean.hub.audited_folder import AUDIT
from hubclean.records import Audit, Rate

_ROUNDING = 1e-9


def check_sums(audit: Audit) -> Check:
    """Whether shares are shares of whole images with their own intervals, and tables agree on what they repeat."""
    places = [Place(AUDIT, f"{where}: {why}") for where, rate in rates(audit) if (why := _wrong(rate))]
    done, count = audit.cleansing, 0
    kept = [stage.metrics for stage in done.stages if stage.name == done.kept]
    if kept != [done.after]:
        places.append(Place(AUDIT, "cleansing.after: not the figures of the stage that was kept"))
    for where, metrics in (("before", done.before), ("after", done.after)):
        count += len(metrics)
        if not metrics or any(row.clean_accuracy != metrics[0].clean_accuracy for row in metrics):
            places.append(Place(AUDIT, f"cleansing.{where}: not one clean accuracy"))
        if any(row.clean_accuracy.n not in (0, audit.data.test) for row in metrics):
            places.append(Place(AUDIT, f"cleansing.{where}: measured on another number of images than data.test"))
        if any((row.asr and row.asr.n) != (row.robust_accuracy and row.robust_accuracy.n) for row in metrics):
            places.append(Place(AUDIT, f"cleansing.{where}: attack success and robust accuracy on different images"))
    return concluded("audit", "its intervals follow from its counts, and its tables agree with each other", places)


def rates(record: Any, where: str = "") -> Iterator[tuple[str, Rate]]:
    """Every ``Rate`` in a record, with the path of its field."""
    if isinstance(record, Rate):
        yield where, record
    elif dataclasses.is_dataclass(record):
        for row in dataclasses.fields(record):
            yield from rates(getattr(record, row.name), f"{where}.{row.name}" if where else row.name)
    elif isinstance(record, tuple):
        for index, item in enumerate(record):
            yield from rates(item, f"{where}[{index}]")


def _wrong(rate: Rate) -> str:
    """Why no count of images gives this rate; empty if one does."""
    if not 0 <= rate.value <= 1 or not 0 <= rate.n < 1 << 53:
        return f"{rate.value} of {rate.n} images is no share"
    hits = round(rate.value * rate.n)
    same = Rate.of(hits, rate.n)
    if not math.isclose(same.value, rate.value, rel_tol=0, abs_tol=_ROUNDING):
        return f"{rate.value} of {rate.n} images is no whole number of images"
    if abs(same.low - rate.low) > _ROUNDING or abs(same.high - rate.high) > _ROUNDING:
        return f"{hits} of {rate.n} has the interval {same.low:.4f} to {same.high:.4f}, not {rate.low} to {rate.high}"
    return ""
