"""Every failure as one escaped sentence on stderr."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
import warnings
from typing import Any

from hubclean.errors import HubcleanError, LabelError, MissingExtraError
from hubclean.escaping import printable

_MODELS = frozenset(
    ("torch", "timm", "transformers", "accelerate", "datasets", "matplotlib", "scipy", "PIL", "numpy", "torchvision")
)


def harmless_streams() -> None:
    """Escapes what libraries log or warn about (they quote configs), and lets no narrow encoding break a result."""
    logging.setLogRecordFactory(_escaped)
    warnings.formatwarning = lambda message, category, *_, **__: (
        f"{category.__name__}: {printable(str(message), 500)}\n"
    )
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _escaped(*args: Any, **kwargs: Any) -> logging.LogRecord:
    record = logging.LogRecord(*args, **kwargs)
    try:
        text = record.getMessage()
    except Exception:  # arguments that do not fit the message
        text = str(record.msg)
    record.msg, record.args, record.exc_info = printable(text, 2000), None, None
    return record


def complain(error: Exception | str, command: str = "hubclean") -> None:
    """Writes to stderr, in one sentence, why ``command`` ended; a reader of stdout that went away needs none."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # the streams may be gone, or None
        try:
            sys.stdout.flush()
        except OSError:  # Python would try again at its end, and complain
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not isinstance(error, BrokenPipeError):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(f"hubclean: {error if isinstance(error, str) else _sentence(error, command)}\n")


def _sentence(error: Exception, command: str) -> str:
    """Only what nobody foresaw is preceded by its traceback, escaped."""
    if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] in _MODELS:
        error = MissingExtraError(command, "models", str(error.name))
    if isinstance(error, LabelError) and error.label_map:
        return f"{printable(str(error), 1000)}\n{error.label_map}"  # JSON in ASCII, ready to save
    if isinstance(error, HubcleanError):
        return printable(str(error), 1000)
    if isinstance(error, OSError):
        place = f"{str(error.filename)!r}: " if error.filename else ""
        return printable(f"a file or stream cannot be read or written: {place}{error.strerror or error}", 1000)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # the second is torch's
        return "not enough memory for this model; a smaller --batch-size or -o batch_size, or fewer images, may fit"
    lines = "".join(traceback.format_exception(error)).splitlines()
    what = printable(f"{type(error).__name__}: {error}", 300)
    return "\n".join(
        ["a bug:", *(printable(line, 300) for line in lines), f"hubclean: broke off without a verdict: {what}"]
    )
