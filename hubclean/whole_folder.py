"""Output folders that appear whole or not at all, also when the process is killed.

What a killed process leaves behind is a hidden folder with all the weights, and beside it a small file that the process
held locked while it lived: by both the next run knows it as ours, and as nobody's any more, and removes it.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import os
import re
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from hubclean.errors import OutputError
from hubclean.escaping import printable
from hubclean.wording import option

try:
    import fcntl
except ImportError:  # Windows: nothing is locked there, so nothing is removed either
    fcntl = None  # type: ignore[assignment]

_LOCK = ".lock"
_HIDDEN = re.compile(r"\..+\.partial-[A-Za-z0-9_]{8}\.lock", re.DOTALL)
_KIND = "hubclean partial folder"
_LOG = logging.getLogger(__name__)


def check_free(out: Path) -> None:
    """Refuse an output place that is taken, before any work is done.

    Raises:
        OutputError: something other than an empty folder is there, or its parent cannot be written.
    """
    try:
        if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
            raise OutputError(f"{out} exists already and is not empty; choose another {option('out')} or remove it")
        parent = next(place for place in out.absolute().parents if place.exists())
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror}") from error
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{out} cannot be written: {parent} is no writable folder")


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Yield a hidden folder beside ``out`` to fill; it is renamed to ``out`` at the end, or removed on an error.

    The rename is the last step and atomic, so a killed process leaves only the hidden folder, which the next call that
    writes beside it removes.

    Raises:
        OutputError: ``out`` is taken, or cannot be written.
    """
    check_free(out)
    out = out.absolute()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(out.parent)
        lock, partial = _begun(out)
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
    finally:
        with contextlib.suppress(OSError):
            partial.with_name(partial.name + _LOCK).unlink()
        lock.close()


def write_whole(place: Path, text: str) -> None:
    """Write a file of text that appears whole or not at all, in place of one that was there.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        number, partial = tempfile.mkstemp(prefix=f".{place.name[:50]}.", dir=place.absolute().parent)
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(partial, 0o644)
            os.replace(partial, place)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(partial)
            raise
    except OSError as error:
        raise OutputError(f"{printable(str(place), 300)} cannot be written: {error.strerror}") from error


def _begun(out: Path) -> tuple[IO[str], Path]:
    """The lock, held, and then the hidden folder of the same name: there is no moment with a folder and no lock."""
    number, name = tempfile.mkstemp(prefix=f".{out.name[:50]}.partial-", suffix=_LOCK, dir=out.parent)
    lock = os.fdopen(number, "w", encoding="utf-8")
    try:
        if _held(lock):  # else nobody could see that we live: without a word in it, nobody touches the folder
            began = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            json.dump({"kind": _KIND, "host": socket.gethostname(), "process": os.getpid(), "began": began}, lock)
            lock.flush()
        partial = Path(name.removesuffix(_LOCK))
        partial.mkdir(mode=0o700)
    except BaseException:
        os.unlink(name)
        lock.close()
        raise
    return lock, partial


def _held(lock: IO[str]) -> bool:
    """Lock the file for as long as this process lives; ``False`` on disks that have no locks."""
    try:
        if fcntl:
            fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError:
        return False
    return fcntl is not None


def remove_abandoned(parent: Path) -> list[Path]:
    """Remove from ``parent`` the hidden folders of our own that nobody works on any more, and say so.

    Ours is a folder whose lock file says so, of this host and this user; nobody works on it when the lock is free.
    What cannot be removed is left without a word: it is in nobody's way.
    """
    removed: list[Path] = []
    if fcntl is None:
        return removed
    for lock in sorted(parent.iterdir()):
        if _HIDDEN.fullmatch(lock.name):
            with contextlib.suppress(OSError, ValueError, RecursionError):
                removed += _removed(lock)
    return removed


def _removed(lock: Path) -> list[Path]:
    partial = lock.with_name(lock.name.removesuffix(_LOCK))
    number = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(number, "r", encoding="utf-8") as file:
        facts = os.fstat(number)
        if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_size > 1000:
            return []
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # an OSError while its process lives
        said: Any = json.loads(file.read())  # a ValueError before its process has locked it
        if not isinstance(said, dict) or said.get("kind") != _KIND or said.get("host") != socket.gethostname():
            return []
        there = partial.is_dir() and not partial.is_symlink()
        if there:
            shutil.rmtree(partial)
        lock.unlink()
    if not there:
        return []
    who = printable(f"process {said.get('process')}, {said.get('began')}", 100)
    _LOG.warning("removed %s, which a run that was killed had left behind (%s)", printable(str(partial), 300), who)
    return [partial]
