"""What can go wrong, as types: every one ends a command with one sentence and exit code 2."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hubclean.records import ScanReport


class HubcleanError(Exception):
    """Base of all errors hubclean raises on purpose; ``str(error)`` is one clear sentence."""


class TargetError(HubcleanError):
    """The target is not understood, or there is nothing at it."""


class AccessError(HubcleanError):
    """The Hub refused: gated, private, disabled, missing or read-only token."""


class TransportError(HubcleanError):
    """The Hub could not be reached, or broke off, after retries."""


class IntegrityError(HubcleanError):
    """Bytes are not what the repo's listing promised: hash, size, commit or range."""


class FormatError(HubcleanError):
    """A file breaks the rules of its own format."""


class BudgetError(HubcleanError):
    """Judging a file would take more bytes or operations than a scan may spend before the download."""


class DeadlineError(BudgetError):
    """The time for a whole scan is over."""


class RefusedError(HubcleanError):
    """The repo asks for something hubclean never does: run its code, unpickle its weights."""


class UnsafeRepoError(RefusedError, OSError):
    """A guarded download was refused: its scan has a finding at the gate, or could not check everything.

    An ``OSError`` too, as the Hub client's errors are: what is none, transformers replaces by one that says nothing.

    Attributes:
        report: the scan, with all findings and all files.
    """

    def __init__(self, message: str, report: ScanReport) -> None:
        super().__init__(message)
        self.report = report

    def __reduce__(self) -> tuple[type[UnsafeRepoError], tuple[str, ScanReport]]:
        return type(self), (str(self), self.report)


class ModelError(HubcleanError):
    """The model cannot be built, loaded, or its feature layer and head cannot be located."""


class DataError(HubcleanError):
    """The images cannot be read, or do not fit the model's labels."""


class LabelError(DataError):
    """Classes of the images go to no label of the model, or the labels are not what the model answers.

    Attributes:
        label_map: text of a label map that would settle it, where one can be offered; else empty.
    """

    def __init__(self, message: str, label_map: str = "") -> None:
        super().__init__(message)
        self.label_map = label_map

    def __reduce__(self) -> tuple[type[LabelError], tuple[str, str]]:
        return type(self), (str(self), self.label_map)


class BallotError(HubcleanError):
    """A ballot, pruning sequence or feedback of federated pruning is refused, or too few are left to go on."""


class OptionError(HubcleanError):
    """An option is unknown, of the wrong type, or out of its range."""


class OutputError(HubcleanError):
    """The output folder exists already or cannot be written."""


class PublishError(HubcleanError):
    """The push was refused or the folder to push is not what its audit says."""


class MissingExtraError(HubcleanError):
    """A command needs a package that the base install leaves out.

    Args:
        command: what the user asked for, e.g. ``hubclean clean``.
        extra: the extra of the distribution that brings the package.
        package: the import that failed.
    """

    def __init__(self, command: str, extra: str, package: str) -> None:
        super().__init__(f"{command} needs {package}: pip install 'hubclean[{extra}]'")


def strings(name: str, values: Iterable[str]) -> tuple[str, ...]:
    """The value of an option that takes several strings, see ``several``."""
    return several(name, values, str)


def several(name: str, values: Iterable[Any], kind: type | tuple[type, ...] = object) -> tuple[Any, ...]:
    """The value of an option that takes several of a ``kind``, as a tuple.

    Raises:
        OptionError: it is one string or bytes, whose letters would be taken one by one (``*.onnx`` would let all pass),
            a mapping, no sequence at all, or holds something of another kind.
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    what = " or ".join(_KINDS.get(one, one.__name__) for one in kinds)
    single = isinstance(values, (str, bytes, bytearray, memoryview, Mapping)) or not isinstance(values, Iterable)
    if single or (isinstance(values, kinds) and kind is not object):
        raise OptionError(f"{name} takes several {what}, in a list or tuple, not one {type(values).__name__}")
    found = tuple(values)
    if odd := [value for value in found if not isinstance(value, kinds) or (isinstance(value, bool) and kind is int)]:
        raise OptionError(f"{name} takes several {what}, and one of these is a {type(odd[0]).__name__}")
    return found


def hold_several(record: Any, kind: type | tuple[type, ...], *names: str) -> None:
    """In ``__post_init__`` of a frozen record of options: these fields hold several of a ``kind``, as tuples.

    Raises:
        OptionError: as ``several``.
    """
    for name in names:
        object.__setattr__(record, name, several(name, getattr(record, name), kind))


_KINDS: dict[type, str] = {str: "strings", int: "whole numbers", object: "values"}
