"""The second stage of a scan: fetch the weights of a repo that passed the first, and run detectors on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hubclean.cleansing import verdict
from hubclean.errors import HubcleanError, OptionError
from hubclean.hub.repos import Repo
from hubclean.nets import datasets, loading
from hubclean.nets.build import adapters, preprocessing
from hubclean.nets.checkpoint import Checkpoint, DefenseData, Detection, ImageSet, Session
from hubclean.nets.memory import fitted
from hubclean.nets.metrics import predictions
from hubclean.records import ScanReport, Skipped
from hubclean.registry import Kind, build, methods, options

# What a scan runs when nobody says: the one that judges, and a hint that needs no image.
DETECTORS = ("neural-cleanse", "mm-bd")
Method = tuple[Kind, str]
_NEEDED = {"images": "images", "labels": "labelled images"}


def method_options(given: tuple[str, ...], methods: Sequence[Method]) -> dict[Method, dict[str, str]]:
    """Share ``KEY=VALUE`` and ``METHOD.KEY=VALUE`` texts among the chosen methods.

    Args:
        given: as on the command line.
        methods: kind and name of each, e.g. ``("detectors", "neural-cleanse"), ("defenses", "fine-pruning")``.

    Returns:
        Options as text by method.

    Raises:
        OptionError: not of that form, known to no chosen method, or to several without naming one.
    """
    fields = {method: _fields(*method) for method in methods}
    shared: dict[Method, dict[str, str]] = {method: {} for method in methods}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise OptionError(f"option {text!r} is not of the form KEY=VALUE")
        name, dot, field = key.rpartition(".")
        takers = [one for one in methods if field in fields[one] and (not dot or name == one[1])]
        if not takers:
            known = ", ".join(one for _, one in methods)
            raise OptionError(f"none of {known} has an option {key!r}; see hubclean methods NAME")
        if len({one for _, one in takers}) > 1:
            both = " and ".join(f"{one}.{field}" for _, one in takers)
            raise OptionError(f"{field!r} is an option of several methods: write {both}")
        for taker in takers:
            shared[taker][field] = value
    return shared


def _fields(kind: Kind, name: str) -> set[str]:
    known = methods(kind)
    if name not in known:
        raise OptionError(f"no {kind.removesuffix('s')} named {name!r}; there are: {', '.join(sorted(known))}")
    return {row.name for row in options(known[name])}


@dataclass(frozen=True)
class Loaded:
    """A checkpoint with its images."""

    checkpoint: Checkpoint
    splits: datasets.Splits


def lacking(made: Iterable[Any], data: str | None) -> tuple[str, ...]:
    """For every detector or defense that cannot run on ``data``, what it needs, in words."""
    needs = {type(method).name: getattr(method, "needs", "labels") for method in made}
    return tuple(f"{name} needs {_NEEDED[what]}" for name, what in needs.items() if data is None and what in _NEEDED)


def load_with_data(
    checkpoint: Checkpoint,
    source: str | None,
    split: str | None,
    sizes: datasets.Sizes,
    session: Session,
    labelled: bool = True,
) -> Loaded:
    """Read the images the model's own way and draw the three sets; without a source they are empty.

    Args:
        labelled: whether a chosen method needs labels. If not, images without any will do: in ``fit`` and ``val`` the
            model's own answers stand in for them, so that accuracy on ``val`` is agreement with the original.
    """
    if source is None:
        return Loaded(checkpoint, datasets.nothing(checkpoint.facts.input_size, session.seed))
    prepare = preprocessing.preprocessing(checkpoint.folder, checkpoint.facts)
    splits = datasets.load(source, checkpoint.labels, prepare, session, split, sizes, labelled)
    if not splits.labelled:
        fit, val = (
            ImageSet(part.pixels, predictions(checkpoint.model, part, session))
            for part in (splits.defense.fit, splits.defense.val)
        )
        splits = replace(splits, defense=DefenseData(fit, val))
    return Loaded(checkpoint, splits)


def needs_labels(made: Iterable[Any]) -> bool:
    """Whether a detector or defense among ``made`` reads labels; one that does not say what it needs is taken to."""
    return any(getattr(method, "needs", "labels") == "labels" for method in made)


@dataclass(frozen=True)
class DeepOptions:
    """Detectors with their ``KEY=VALUE`` options, which images to use, and a folder with adapters of the user's."""

    detectors: tuple[str, ...] = DETECTORS
    given: tuple[str, ...] = ()
    split: str | None = None
    sizes: datasets.Sizes = datasets.Sizes()
    hooks: Path | None = None


def deep_scan(
    repo: Repo, report: ScanReport, session: Session, data: str | None, options: DeepOptions | None = None
) -> tuple[ScanReport, tuple[Detection, ...]]:
    """Add the detectors' verdicts to a static report; without a reason to stop, the weights are fetched and hashed.

    Nothing is fetched when the static stage has a finding at the gate, or when no detector can run. Without ``data``
    those run that need no image. What is not done is in ``skipped``, and a report with skipped steps never has exit
    code 0.

    Raises:
        OptionError: no such detector or option.
    """
    options = options or DeepOptions()
    if report.at_gate:
        return _skip(report, "the static stage has findings at the gate, so no weight was fetched"), ()
    texts = method_options(options.given, [("detectors", name) for name in options.detectors])
    made = [build("detectors", name, texts["detectors", name]) for name in options.detectors]
    for why in lacking(made, data):
        report = _skip(report, f"{why}: give --data")
    made = [detector for detector in made if not lacking([detector], data)]
    if not made:
        return report, ()
    try:
        checkpoint = loading.load(repo, adapters=adapters.load(options.hooks))
        session = fitted(session, checkpoint.model, checkpoint.facts.input_size)
        loaded = load_with_data(checkpoint, data, options.split, options.sizes, session, needs_labels(made))
    except OptionError:
        raise
    except HubcleanError as error:
        return _skip(report, str(error)), ()
    found = []
    for detector in made:
        try:
            found.append(detector.detect(loaded.checkpoint, loaded.splits.defense, session))
        except OptionError:
            raise
        except HubcleanError as error:  # what another detector found stands
            report = _skip(report, f"{detector.name}: {error}")
    if not found:
        return report, ()
    reports = tuple(one.report for one in found)
    return replace(report, detections=reports, judgement=verdict.judge(reports, verdict.measured_errors())), tuple(
        found
    )


def _skip(report: ScanReport, why: str) -> ScanReport:
    return replace(report, skipped=(*report.skipped, Skipped("deep", why)))
