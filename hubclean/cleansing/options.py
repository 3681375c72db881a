"""What ``hubclean clean`` can be told, and the command that says it again."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hubclean.errors import hold_several
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.datasets import Sizes
from hubclean.nets.labels.lookup import Rule
from hubclean.nets.labels.matching import Labelling, LabelMap, labelling
from hubclean.nets.session import Session
from hubclean.nets.triggers import Stamp
from hubclean.records import DataReport, Loader, RepoRef, Severity
from hubclean.registry import file_names

# Detectors and defense where nobody names them.
DEFAULTS, WITHOUT_IMAGES = (("neural-cleanse", "source-specific"), "auto"), (("mm-bd",), "clp")
_FEDERATED = "federated-pruning"


@dataclass(frozen=True)
class CleanOptions:
    """What ``hubclean clean`` can be told, beyond target, data and output folder.

    Args:
        detectors: registered ones, or ``skip`` alone; none named = ``neural-cleanse`` and ``source-specific``, without
            images ``mm-bd``.
        defense: a registered defense; ``None`` = ``auto``, without images ``clp``.
        given: ``KEY=VALUE`` options of both, as on the command line.
        split: which split of the images; ``None`` = the most held-out one.
        sizes: images for fit, val and test.
        planted: triggers the caller knows. They measure ASR and are never shown to a detector or defense.
        hooks: a folder with adapters of the user's own.
        retune: measure whether a trigger that is known or recovered comes back (``retuning.check_retuning``).
        always: run the defense where nothing was found, too; else the weights stay as they are.
        ballots, feedback: files of participants, for a defense that counts them; without another one named that is
            ``federated-pruning``.
        gate, allow, allow_unchecked, loader: of the static scan before, as for ``engine.scan``.
        subfolder: where in the repo the model lies, as of ``from_pretrained``.
        base: what an adapter changes, where its config does not name it, or not as it can be opened here.
        ready: a defense that is made already (the federated one needs its clients), in place of ``defense``.
        command: what repeats the run, where that is no ``hubclean clean``.
        image_column, label_column: of a table of images, where names and the model's labels do not decide.
        label_map: class of the images to label name, number or ``None``; a mapping, or a JSON or CSV file.
        labels_by: ``name``, ``number`` or ``position``, see ``labels.matching.Labelling``.
        accept_accuracy: go on where the original's answers do not fit the labels.
    """

    detectors: tuple[str, ...] = ()
    defense: str | None = None
    given: tuple[str, ...] = ()
    split: str | None = None
    sizes: Sizes = Sizes()
    planted: tuple[Stamp, ...] = ()
    hooks: Path | None = None
    retune: bool = True
    always: bool = False
    ballots: tuple[Path, ...] = ()
    feedback: tuple[Path, ...] = ()
    gate: Severity = "high"
    allow: tuple[str, ...] = ()
    allow_unchecked: tuple[str, ...] = ()
    loader: Loader | None = None
    subfolder: str = ""
    base: str | None = None
    ready: Any = None
    command: str = ""
    image_column: str | None = None
    label_column: str | None = None
    label_map: LabelMap = None
    labels_by: Rule | None = None
    accept_accuracy: bool = False

    def __post_init__(self) -> None:
        hold_several(self, str, "detectors", "given", "allow", "allow_unchecked")
        hold_several(self, (str, Path), "ballots", "feedback")
        hold_several(self, object, "planted")

    @property
    def labelling(self) -> Labelling:
        """How the classes of the images go to the model's labels.

        Raises:
            OptionError: the map cannot be read, or there is no such rule.
        """
        return labelling(self.labels_by, self.label_map)

    def settled(self, data: bool) -> CleanOptions:
        """The same with detectors and defense named; ``data`` is whether there are images."""
        detectors, defense = DEFAULTS if data else WITHOUT_IMAGES
        defense = _FEDERATED if self.ballots else defense
        return replace(self, detectors=self.detectors or detectors, defense=self.defense or defense)


def repeating(checkpoint: Checkpoint, report: DataReport, options: CleanOptions, session: Session) -> str:
    """What repeats the run: a command, or the call in Python where the net or its images came from memory."""
    if checkpoint.facts.library != "module" and report.source != "memory":
        return command_line(checkpoint.origin, report, options, session)
    data = "None" if report.source == "none" else "IMAGES" if report.source == "memory" else repr(report.source)
    words = ["NET" if checkpoint.facts.library == "module" else repr(str(checkpoint.origin)), data, "'OUT'"]
    words += [f"detectors={options.detectors!r}", f"defense={options.defense!r}"]
    words += [f"given={options.given!r}"] if options.given else []
    words += [] if options.retune else ["retune=False"]
    words += ["always=True"] if options.always else []
    words += [f"labels_by={options.labels_by!r}"] if options.labels_by else []
    words += ["label_map=LABEL_MAP"] if options.label_map is not None else []
    words += ["accept_accuracy=True"] if options.accept_accuracy else []
    if report.fit:
        words.append(f"sizes=hubclean.Sizes({report.fit}, {report.val}, {report.test or None})")
    batch = f"hubclean.open_session(seed={session.seed}, batch_size={session.batch_size})"
    return f"# in Python: hubclean.clean({', '.join([*words, f'session={batch}'])})"


def command_line(origin: RepoRef, report: DataReport, options: CleanOptions, session: Session) -> str:
    """The command that repeats the run; local paths are given by their last name only."""
    words = ["hubclean", "clean", str(replace(origin, subfolder=""))]
    words += ["--subfolder", origin.subfolder] if origin.subfolder else []
    words += ["--base", file_names(options.base)] if options.base else []
    if report.fit:
        words += ["--data", report.source, "--split", report.split, "--fit", str(report.fit), "--val", str(report.val)]
    if report.test:
        words += ["--test", str(report.test)]
    for option, column in (("--image-column", options.image_column), ("--label-column", options.label_column)):
        words += [option, column] if column and report.fit else []
    words += ["--labels-by", options.labels_by] if options.labels_by else []
    if options.label_map is not None:
        is_file = isinstance(options.label_map, (str, Path))
        words += ["--label-map", Path(options.label_map).name if is_file else "LABEL_MAP.json"]  # type: ignore[arg-type]
    words += ["--accept-accuracy"] if options.accept_accuracy else []
    for name in options.detectors:
        words += ["--detector", name]
    words += ["--defense", str(options.defense)]
    words += [] if options.retune else ["--no-retune"]
    words += ["--always"] if options.always else []
    for text in options.given:
        key, _, value = text.partition("=")
        words += ["-o", f"{key}={file_names(value)}" if key.endswith(("ballots", "feedback")) else text]
    for name, places in (("--ballots", options.ballots), ("--feedback", options.feedback)):
        words += [word for place in places for word in (name, place.name)]
    for number, _ in enumerate(options.planted):
        words += ["--planted", f"planted-{number}.safetensors"]
    words += ["--fail-on", options.gate] if options.gate != "high" else []
    words += [word for name in options.allow for word in ("--allow", name)]
    words += [word for pattern in options.allow_unchecked for word in ("--allow-unchecked", pattern)]
    words += ["--for", options.loader] if options.loader else []
    if options.hooks:
        words += ["--hooks", options.hooks.name]
    words += ["--seed", str(session.seed), "--batch-size", str(session.batch_size)]
    if session.accelerator.mixed_precision != "no":
        words += ["--mixed-precision", session.accelerator.mixed_precision]
    return shlex.join([*words, "--out", "OUT"])
