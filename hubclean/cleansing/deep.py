"""The second stage of a scan: fetch the weights of a repo that passed the first, and run detectors on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from hubclean.cleansing import verdict
from hubclean.cleansing.chosen_methods import lacking, method_options, needs_labels
from hubclean.cleansing.inputs import load_or_merge, load_with_data
from hubclean.cleansing.label_check import check_labels
from hubclean.errors import HubcleanError, OptionError, hold_several
from hubclean.hub.repos import Repo
from hubclean.hub.subfolders import below
from hubclean.methods.interface import Detection
from hubclean.nets import datasets
from hubclean.nets.construction import adapters
from hubclean.nets.datasets import ImageSource
from hubclean.nets.labels.lookup import Rule
from hubclean.nets.labels.matching import LabelMap, labelling
from hubclean.nets.memory import fitted
from hubclean.nets.session import Session
from hubclean.records import ScanReport, Skipped
from hubclean.registry import build_method
from hubclean.wording import option

# What a scan runs when nobody says: those that judge, and a hint that needs no image.
DETECTORS = ("neural-cleanse", "source-specific", "mm-bd")


@dataclass(frozen=True)
class DeepOptions:
    """Detectors with their ``KEY=VALUE`` options, which images to use, a folder with adapters of the user's, and the
    base that an adapter changes, where its config does not name it.

    ``label_map``, ``labels_by`` and ``accept_accuracy`` are those of ``CleanOptions``.
    """

    detectors: tuple[str, ...] = DETECTORS
    given: tuple[str, ...] = ()
    split: str | None = None
    sizes: datasets.Sizes = datasets.Sizes()
    hooks: Path | None = None
    base: str | None = None
    image_column: str | None = None
    label_column: str | None = None
    label_map: LabelMap = None
    labels_by: Rule | None = None
    accept_accuracy: bool = False

    def __post_init__(self) -> None:
        hold_several(self, str, "detectors", "given")


def deep_scan(
    repo: Repo, report: ScanReport, session: Session, data: ImageSource | None, options: DeepOptions | None = None
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
    made = [build_method("detectors", name, texts["detectors", name]) for name in options.detectors]
    for why in lacking(made, data is not None):
        report = _skip(report, f"{why}: give {option('data')}")
    made = [detector for detector in made if not lacking([detector], data is not None)]
    if not made:
        return report, ()
    names = labelling(options.labels_by, options.label_map)
    try:
        checkpoint = load_or_merge(
            below(repo, report.origin.subfolder), adapters.load_adapters(options.hooks), report, options.base
        )
        session = fitted(session, checkpoint.model, checkpoint.facts.input_size)
        columns = {"image_column": options.image_column, "label_column": options.label_column}
        needed = needs_labels(made)
        loaded = load_with_data(checkpoint, data, options.split, options.sizes, session, needed, names, **columns)
        report = replace(report, images=loaded.splits.report.taken)
        check_labels(checkpoint, loaded.splits, session, options.accept_accuracy)
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
