"""The second stage of a scan: fetch the weights of a repo that passed the first, and run detectors on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from hubclean import adapters, checkpoints, datasets, preprocessing
from hubclean.errors import HubcleanError, OptionError
from hubclean.records import SEVERITIES, ScanReport, Skipped
from hubclean.registry import Kind, build, methods, options
from hubclean.repos import Repo
from hubclean.tensors import Checkpoint, Detection, Session


def method_options(given: tuple[str, ...], names: dict[str, str]) -> dict[str, dict[str, str]]:
    """Share ``KEY=VALUE`` and ``METHOD.KEY=VALUE`` texts among the chosen methods.

    Args:
        given: as on the command line.
        names: kind -> method name, e.g. ``{"detectors": "neural-cleanse", "defenses": "fine-pruning"}``.

    Returns:
        Options as text by kind.

    Raises:
        OptionError: not of that form, known to no chosen method, or to several without naming one.
    """
    fields = {kind: _fields(kind, name) for kind, name in names.items()}
    shared: dict[str, dict[str, str]] = {kind: {} for kind in names}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise OptionError(f"option {text!r} is not of the form KEY=VALUE")
        method, dot, field = key.rpartition(".")
        homes = [kind for kind, name in names.items() if not dot or name == method]
        takers = [kind for kind in homes if field in fields[kind]]
        if not takers:
            raise OptionError(f"none of {', '.join(names.values())} has an option {key!r}; see hubclean methods NAME")
        if len(takers) > 1:
            both = " and ".join(f"{names[kind]}.{field}" for kind in takers)
            raise OptionError(f"{field!r} is an option of several methods: write {both}")
        shared[takers[0]][field] = value
    return shared


def _fields(kind: str, name: str) -> set[str]:
    known = methods(cast(Kind, kind))
    if name not in known:
        raise OptionError(f"no {kind.removesuffix('s')} named {name!r}; there are: {', '.join(sorted(known))}")
    return {row.name for row in options(known[name])}


@dataclass(frozen=True)
class Loaded:
    """A checkpoint with its images."""

    checkpoint: Checkpoint
    splits: datasets.Splits


def load_with_data(
    checkpoint: Checkpoint, source: str, split: str | None, sizes: datasets.Sizes, session: Session
) -> Loaded:
    """Read the images the model's own way and draw the three sets."""
    prepare = preprocessing.preprocessing(checkpoint.folder, checkpoint.facts)
    return Loaded(checkpoint, datasets.load(source, checkpoint.labels, prepare, session, split, sizes))


@dataclass(frozen=True)
class DeepOptions:
    """Detectors with their ``KEY=VALUE`` options, which images to use, and a folder with adapters of the user's."""

    detectors: tuple[str, ...] = ("neural-cleanse",)
    given: tuple[str, ...] = ()
    split: str | None = None
    sizes: datasets.Sizes = datasets.Sizes()
    hooks: Path | None = None


def deep_scan(
    repo: Repo, report: ScanReport, session: Session, data: str | None, options: DeepOptions | None = None
) -> tuple[ScanReport, tuple[Detection, ...]]:
    """Add the detectors' verdicts to a static report; without a reason to stop, the weights are fetched and hashed.

    Nothing is fetched when the static stage has a finding at the gate. What is not done is in ``skipped``, and a report
    with skipped steps never has exit code 0.
    """
    options, gate = options or DeepOptions(), SEVERITIES.index(report.gate)
    if any(SEVERITIES.index(finding.severity) >= gate for finding in report.findings):
        return _skip(report, "the static stage has findings at the gate, so no weight was fetched"), ()
    if data is None:
        needs = ", ".join(options.detectors)
        return _skip(report, f"{needs} need images: give --data"), ()
    names = options.detectors
    made = [build("detectors", name, method_options(options.given, {"detectors": name})["detectors"]) for name in names]
    try:
        checkpoint = checkpoints.load(repo, adapters=adapters.load(options.hooks))
        loaded = load_with_data(checkpoint, data, options.split, options.sizes, session)
        found = tuple(detector.detect(loaded.checkpoint, loaded.splits.defense, session) for detector in made)
    except OptionError:
        raise
    except HubcleanError as error:
        return _skip(report, str(error)), ()
    return replace(report, detections=tuple(one.report for one in found)), found


def _skip(report: ScanReport, why: str) -> ScanReport:
    return replace(report, skipped=(*report.skipped, Skipped("deep", why)))
