"""The recorded command again: a forger's weights and figures do not come out of it, and his words are not run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import hubclean
from hubclean.cleansing.verifying.redo import read_command
from hubclean.cleansing.verifying.report import Check, VerifyReport
from hubclean.errors import HubcleanError
from hubclean.nets.session import open_session
from hubclean.scanning.formats.safetensors_header import read_header_file
from support.stated import Cleansed, audit_of, restated

PLAIN = "hubclean clean org/model@abc --data x --split all --fit 30 --val 30 --test 40"


def verified(made: Cleansed) -> VerifyReport:
    session = open_session("cpu", batch_size=32)
    return hubclean.verify(made.out, base=made.base, data=made.pictures, redo=True, session=session)


def redone(report: VerifyReport) -> Check:
    return next(row for row in report.checks if row.name == "redo")


def test_the_same_weights_come_out(cleansed: Cleansed) -> None:
    report = verified(cleansed)
    assert (redone(report).state, report.exit_code) == ("as stated", 0), report.checks
    assert redone(report).said == "the same weights, bit for bit"
    assert len(report.not_checked) == 1, "who wrote it"


def test_other_weights_and_figures_do_not(cleansed: Cleansed) -> None:
    """All tensors named, so that any may differ; a verdict that no detector gave."""
    weights = cleansed.out / "model.safetensors"
    tensors = read_header_file(weights).tensors
    body = bytearray(weights.read_bytes())
    for tensor in tensors:
        body[tensor.start] ^= 1
    weights.write_bytes(body)
    audit = audit_of(cleansed.out)
    detections = tuple(replace(row, verdict="not found") for row in audit.detections)
    done = replace(audit.cleansing, changed=tuple(sorted(row.name for row in tensors)))
    restated(cleansed.out, cleansed.base, lambda audit: replace(audit, cleansing=done, detections=detections))
    assert hubclean.verify(cleansed.out, base=cleansed.base).exit_code == 0
    report = verified(cleansed)
    assert (report.exit_code, redone(report).state) == (1, "not as stated")
    what = " ".join(place.what for place in redone(report).places)
    assert "detections: states " in what
    assert "cleansing.changed: states " in what


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("rm -rf /", "none that can be repeated"),
        ("hubclean push x y", "none that can be repeated"),
        ("hubclean clean 'x", "none that can be repeated"),
        ("hubclean clean " + "x" * 30_000, "none that can be repeated"),
        ("# in Python: hubclean.clean(NET, IMAGES, 'OUT')", "none that can be repeated"),
        (f"{PLAIN} --hooks /etc", "'--hooks', which cannot be repeated"),
        (f"{PLAIN} --ballots /etc/passwd", "'--ballots', which cannot be repeated"),
        (f"{PLAIN} -o ballots=/etc/passwd", "names files"),
        (f"{PLAIN} -o federated-pruning.feedback=/etc/passwd", "names files"),
        (f"{PLAIN} --allow-unchecked '*'", "'--allow-unchecked', which cannot be repeated"),
        (f"{PLAIN} --seed 99999999999999999999", "'--seed', which cannot be repeated"),
        (f"{PLAIN} --fit -3", "'--fit', which cannot be repeated"),
    ],
)
def test_what_a_stranger_writes_as_a_command(command: str, why: str) -> None:
    with pytest.raises(HubcleanError, match=why):
        read_command(command)


def test_a_command_is_read() -> None:
    words = f"{PLAIN} --detector neural-cleanse -o steps=2 -o batches=1 --defense fst --no-retune --always --seed 5"
    read = read_command(f"{words} --batch-size 32 --mixed-precision bf16 --planted planted-0.safetensors --out OUT")
    options = read.options
    assert (options.detectors, options.defense, options.given) == (("neural-cleanse",), "fst", ("steps=2", "batches=1"))
    assert (options.retune, options.always, options.gate, options.hooks) == (False, True, "high", None)
    assert (options.sizes.fit, options.sizes.val, options.sizes.test, options.split) == (30, 30, 40, "all")
    assert (read.seed, read.batch_size, read.precision, read.planted) == (5, 32, "bf16", 1)


def test_without_images_or_original_it_is_not_decided(cleansed: Cleansed, tmp_path: Path) -> None:
    report = hubclean.verify(cleansed.out, base=cleansed.base, redo=True)
    assert (report.exit_code, redone(report).said) == (2, "the recorded command needs its images: name them with data=")
    assert redone(hubclean.verify(cleansed.out, redo=True)).said.startswith("not run, for want of the original")
