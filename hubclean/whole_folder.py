"""Output folders that appear whole or not at all, also when the process is killed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hubclean.errors import OutputError


def check_free(out: Path) -> None:
    """Refuse an output place that is taken, before any work is done.

    Raises:
        OutputError: something other than an empty folder is there, or its parent cannot be written.
    """
    try:
        if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
            raise OutputError(f"{out} exists already and is not empty; choose another --out or remove it")
        parent = next(place for place in out.absolute().parents if place.exists())
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror}") from error
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{out} cannot be written: {parent} is no writable folder")


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Yield a hidden folder beside ``out`` to fill; it is renamed to ``out`` at the end, or removed on an error.

    The rename is the last step and atomic, so a killed process leaves only the hidden folder.

    Raises:
        OutputError: ``out`` is taken, or cannot be written.
    """
    check_free(out)
    out = out.absolute()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{out.name[:50]}.partial-", dir=out.parent))
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror}") from error
    try:
        yield partial
        partial.chmod(0o755)
        for place in partial.rglob("*"):
            if place.is_file():
                with place.open("rb") as file:
                    os.fsync(file.fileno())
        check_free(out)
        try:
            partial.rename(out)
        except OSError as error:
            raise OutputError(f"{out} could not be put in place: {error.strerror}") from error
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError):  # the disk is full, a name too long, the folder gone
            raise OutputError(f"{out} cannot be written: {error.strerror or error}") from error
        raise
