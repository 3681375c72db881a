"""The recorded command once more, from the original: the same verdicts, figures, weights. As long as ``clean`` takes.

A stranger wrote the command. It is never run: known options are read off its words, and one that names a file of
somebody's disk ends the attempt.
"""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hubclean.cleansing.options import CleanOptions
from hubclean.cleansing.pipeline import clean
from hubclean.cleansing.verifying.figures import Images
from hubclean.cleansing.verifying.report import Check, Place, concluded
from hubclean.cleansing.verifying.sums import rates
from hubclean.errors import DataError
from hubclean.escaping import printable
from hubclean.hub.audited_folder import AUDIT
from hubclean.hub.repos import Repo
from hubclean.nets.datasets import Sizes
from hubclean.nets.session import Session, open_session
from hubclean.records import Audit, Rate
from hubclean.wording import option

_LONGEST = 20_000  # signs of a command
_FLAGS = {"--no-retune": "retune", "--always": "always", "--accept-accuracy": "accept_accuracy"}
_SINGLE = {
    "--defense": "defense",
    "--split": "split",
    "--image-column": "image_column",
    "--label-column": "label_column",
    "--labels-by": "labels_by",
    "--for": "loader",
}
_SEVERAL = {"--detector": "detectors", "-o": "given"}
_NUMBERS = ("--fit", "--val", "--test", "--seed", "--batch-size")
# Of no matter here, or given anew: target, images and folder; what the static scan let pass is not let pass again.
_PASSED = ("--data", "--out", "--subfolder", "--mixed-precision", "--label-map", "--planted", "--fail-on")
_FILES = ("ballots", "feedback")  # options that name files, with or without a method before them


@dataclass(frozen=True)
class Command:
    """What a recorded command asks for, without anything that names a place."""

    options: CleanOptions
    sizes: Sizes
    seed: int
    batch_size: int
    precision: str
    planted: int


def read_command(text: str) -> Command:
    """Read the options off a recorded ``hubclean clean``.

    Raises:
        DataError: it is another command, or has an option that cannot be repeated elsewhere.
        OptionError: a value that its option cannot have.
    """
    try:
        words = shlex.split(text) if len(text) <= _LONGEST else []
    except ValueError:
        words = []
    if words[:2] != ["hubclean", "clean"]:
        raise DataError(f"the recorded command is none that can be repeated: {printable(text, 100)!r}")
    known: dict[str, Any] = {"detectors": (), "given": ()}
    numbers: dict[str, int] = {}
    passed: list[tuple[str, str]] = []
    rest = iter(words[3:])
    for word in rest:
        if word in _FLAGS:
            known[_FLAGS[word]] = word != "--no-retune"
            continue
        value = next(rest, "")
        if word in _SINGLE:
            known[_SINGLE[word]] = value
        elif word in _SEVERAL:
            known[_SEVERAL[word]] += (value,)
        elif word in _NUMBERS and value.isascii() and value.isdigit() and len(value) < 10:
            numbers[word] = int(value)
        elif word in _PASSED:
            passed.append((word, value))
        else:
            raise DataError(f"the recorded command has {printable(word, 60)!r}, which cannot be repeated from here")
    if odd := [text for text in known["given"] if text.partition("=")[0].endswith(_FILES)]:
        raise DataError(f"the recorded command names files: {printable(odd[0], 80)!r}")
    sizes = Sizes(*(numbers.get(name) for name in ("--fit", "--val", "--test")))
    precision = next((value for word, value in passed if word == "--mixed-precision"), "no")
    planted = sum(word == "--planted" for word, _ in passed)
    seed, batch = numbers.get("--seed", 0), numbers.get("--batch-size", 128)
    return Command(CleanOptions(**known, sizes=sizes), sizes, seed, batch, precision, planted)


def check_redo(original: Repo, audit: Audit, images: Images | None, session: Session) -> Check:
    """Run the recorded command from the original and compare what it says with the audit.

    Raises:
        DataError: the command cannot be repeated, or needs images or triggers that were not given.
        HubcleanError: it did not finish.
    """
    command = read_command(audit.command)
    if audit.data.fit and images is None:
        raise DataError(f"the recorded command needs its images: name them with {option('data')}")
    planted = images.planted if images else ()
    if command.planted != len(planted):
        raise DataError(f"the recorded command knew {command.planted} planted triggers, and {len(planted)} are given")
    options = replace(command.options, planted=planted)
    if images:
        keys = ("split", "image_column", "label_column", "labels_by", "label_map", "hooks")
        own: dict[str, Any] = {key: value for key in keys if (value := getattr(images, key)) is not None}
        options = replace(options, **own)
    again = open_session(str(session.device), command.seed, command.batch_size, command.precision, session.progress)
    data = images.data if images and audit.data.fit else None
    with tempfile.TemporaryDirectory(prefix="hubclean-") as place:
        found = clean(original, data, Path(place) / "out", again, options).audit
    return _compared(audit, found)


def _compared(audit: Audit, found: Audit) -> Check:
    """Equal weights make all equal. Else verdicts must be the same, and figures lie in the stated intervals."""
    same = _weights(audit) == _weights(found)
    places = [Place(AUDIT, what) for what in _differences(audit, found, exactly=same)]
    said = (
        "the same weights, bit for bit" if same else "other weights; verdicts are the same, figures in their intervals"
    )
    elsewhere = _elsewhere(audit, found)
    if places and elsewhere:
        points = [f"{len(places)} differences, the first: {places[0].what}; but it ran on {elsewhere}"]
        return concluded("redo", "", [], points)
    return concluded("redo", said + (f", on {elsewhere}" if elsewhere else ""), places)


def _weights(audit: Audit) -> dict[str, str]:
    return {row.path: row.sha256 for row in audit.outputs if row.path.endswith(".safetensors") and "/" not in row.path}


def _elsewhere(audit: Audit, found: Audit) -> str:
    """What of the machine is not as it was, so that rounding may differ; empty if nothing that is recorded."""
    rows = [f"{name} {found.versions.get(name)}" for name in sorted(audit.versions) if _other(audit, found, name)]
    rows += [found.device] * (audit.device != found.device)
    return ", ".join(rows[:8])


def _other(audit: Audit, found: Audit, name: str) -> bool:
    return audit.versions[name] != found.versions.get(name)


def _differences(audit: Audit, found: Audit, exactly: bool) -> Iterator[str]:
    pairs: list[tuple[str, object, object]] = [
        ("data.fingerprint", audit.data.fingerprint, found.data.fingerprint),
        ("outcome", audit.outcome.word, found.outcome.word),
        ("cleansing.defense", audit.cleansing.defense, found.cleansing.defense),
        ("cleansing.kept", audit.cleansing.kept, found.cleansing.kept),
        ("cleansing.changed", audit.cleansing.changed, found.cleansing.changed),
    ]
    for name in ("detections", "rechecks"):
        rows = [tuple((row.detector, row.verdict, row.targets) for row in getattr(one, name)) for one in (audit, found)]
        pairs.append((name, rows[0], rows[1]))
    for where, stated, now in pairs:
        if stated != now:
            yield f"{where}: states {printable(str(stated), 100)}, again it is {printable(str(now), 100)}"
    mine, theirs = dict(_figures(audit)), dict(_figures(found))
    for where in sorted(mine.keys() ^ theirs.keys()):
        yield f"{where}: {'not there again' if where in mine else 'there again, and not stated'}"
    for where, rate in mine.items():
        if (now := theirs.get(where)) and _outside(rate, now, exactly):
            yield f"{where}: states {rate.value:.4f} of {rate.n}, again it is {now.value:.4f} of {now.n}"


def _outside(stated: Rate, now: Rate, exactly: bool) -> bool:
    if exactly or stated.n != now.n:
        return stated != now
    return not stated.low - 1e-9 <= now.value <= stated.high + 1e-9


def _figures(audit: Audit) -> Iterator[tuple[str, Rate]]:
    """The rates measured on the original and on what was kept."""
    done = audit.cleansing
    yield from rates(done.before, "cleansing.before")
    yield from rates(done.after, "cleansing.after")
    yield from rates(audit.probes, "probes")
