"""Scans as other programs read them, on stdout or in files beside what a person reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hubclean.escaping import printable

if TYPE_CHECKING:
    from hubclean.scanning.document import ScanDocument

F = TypeVar("F", bound=Callable[..., Any])
FORMATS = ("json", "sarif", "cyclonedx")
_ENDINGS = {".cdx.json": "cyclonedx", ".sarif": "sarif", ".json": "json"}  # the first that fits


def output_option(command: F) -> F:
    """``--output [FORMAT=]FILE``, as pairs of format and file."""
    return click.option(
        "--output",
        "outputs",
        multiple=True,
        metavar="[FORMAT=]FILE",
        callback=lambda context, parameter, values: tuple(map(_pair, values)),
        help="Write a document to a file, too: json, sarif or cyclonedx, by its ending (.json, .sarif, .cdx.json) or "
        "by name; repeatable.",
    )(command)


def _pair(text: str) -> tuple[str, Path]:
    form, equals, path = text.partition("=")
    if equals and form in FORMATS:
        name = path
    else:
        name = text
        form = next((known for ending, known in _ENDINGS.items() if name.lower().endswith(ending)), "")
    if not form or not name:
        shown = printable(text, 200)
        raise click.BadParameter(f"{shown!r} ends with none of {', '.join(_ENDINGS)}; FORMAT=FILE says what to write")
    return form, Path(name)


def document_text(document: ScanDocument, form: str) -> str:
    """The document as ``json``, ``sarif`` or ``cyclonedx``, in ASCII."""
    if form == "sarif":
        from hubclean.scanning.sarif import sarif

        value = sarif(document)
    elif form == "cyclonedx":
        from hubclean.scanning.cyclonedx import cyclonedx

        value = cyclonedx(document)
    else:
        from hubclean.records import to_json

        value = to_json(document)
    return json.dumps(value, indent=1, ensure_ascii=True, allow_nan=False)


def write_documents(document: ScanDocument, outputs: Iterable[tuple[str, Path]]) -> None:
    """Write each format to its file, whole or not at all.

    Raises:
        OutputError: a file cannot be written.
    """
    from hubclean.whole_folder import write_whole

    for form, place in outputs:
        write_whole(place, document_text(document, form) + "\n")
