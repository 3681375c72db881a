"""What ``verify`` says: a line a check, the place of whatever is not as stated, and one exit code.

``python -m hubclean.cleansing.verifying.report > hubclean/cleansing/verifying/verify.schema.json`` writes the schema
that ships with the package.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from hubclean.errors import HubcleanError, IntegrityError
from hubclean.scan_records import RepoRef
from hubclean.schema import json_schema
from hubclean.version import __version__

VERIFY_SCHEMA = "hubclean/verify/v1"
State = Literal["as stated", "not as stated", "undecided"]
_MOST_PLACES = 100


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is not as stated.

    Args:
        path: of the file, as a stranger named it.
        what: what is there, and what was stated.
        line: of a text, from 1.
        tensor: of a safetensors file.
    """

    path: str
    what: str
    line: int | None = None
    tensor: str | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Args:
        name: ``files``, ``audit``, ``original``, ``card``, ``scan``, ``signature``, ``figures``, ``redo``.
        state: ``undecided`` where something that was asked for could not be looked at.
        said: one line.
        places: where it is not as stated, the first 100 of ``found``.
        found: how many there are.
        left: what the check does not cover here.
    """

    name: str
    state: State
    said: str
    places: tuple[Place, ...] = ()
    found: int = 0
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What ``verify`` found. It says no more than was checked: ``not_checked`` holds the rest.

    Args:
        target: what was checked, pinned.
        base: the original that it was compared with; ``None`` if it could not be opened.
        audit_sha256: of ``hubclean/audit.json``, in hex.
        outcome: what the audit comes to, in a sentence (``cleansed: no trigger works ...``); empty if it is none.
        checks: in order.
        not_checked: what nothing here says anything about, and how it could be.
        requests: bodies asked for of target and original, ``bytes_read`` their size, without whole files fetched.
        exit_code: 0 all as stated, 1 something is not, 2 something could not be decided.
    """

    target: RepoRef
    base: RepoRef | None
    audit_sha256: str
    outcome: str
    checks: tuple[Check, ...]
    not_checked: tuple[str, ...]
    requests: int
    bytes_read: int
    exit_code: int
    hubclean: str = field(default=__version__)
    schema: str = field(default=VERIFY_SCHEMA)


def joint(checks: Iterable[Check]) -> int:
    """One exit code: what is not as stated wins over what could not be decided, and that over the rest."""
    states = {check.state for check in checks}
    return 1 if "not as stated" in states else 2 if "undecided" in states else 0


def concluded(
    name: str, said: str, places: list[Place], open_points: Iterable[str] = (), left: Iterable[str] = ()
) -> Check:
    """A check from what was found: places make it "not as stated", open points "undecided", else ``said`` holds."""
    points = tuple(open_points)
    if places:
        head = f"in {len(places)} places" if len(places) > 1 else "in one place"
        said = "; ".join((head, *points))
        return Check(name, "not as stated", said, tuple(places[:_MOST_PLACES]), len(places), tuple(left))
    if points:
        return Check(name, "undecided", "; ".join(points), left=tuple(left))
    return Check(name, "as stated", said, left=tuple(left))


def guarded(name: str, path: str, check: Callable[[], Check]) -> Check:
    """Run a check; bytes that are not what their commit says are a place, any other failure leaves it undecided."""
    try:
        return check()
    except IntegrityError as error:
        return concluded(name, "", [Place(path, str(error))])
    except HubcleanError as error:
        return concluded(name, "", [], [str(error)])


def schema_text() -> str:
    """The JSON Schema of ``VerifyReport`` as it ships with the package."""
    return json.dumps(json_schema(VerifyReport, VERIFY_SCHEMA), indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")
