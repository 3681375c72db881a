"""Pictures drawn, decoded and prepared; what cannot be read is left out one by one; and the line that says it all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch

from hubclean.errors import DataError, HubcleanError
from hubclean.escaping import printable
from hubclean.nets.session import Session
from hubclean.nets.sources.decode import decoded
from hubclean.nets.sources.pictures import Pictures

Prepare = Callable[[Any], torch.Tensor]
UNREADABLE = "unreadable"
_EARLY = 64  # damaged pictures after which a set of which most are damaged is given up


def drawn(
    pictures: Pictures, order: Sequence[int], wanted: int, prepare: Prepare, session: Session
) -> tuple[torch.Tensor, list[int], int]:
    """The first ``wanted`` pictures of ``order`` that can be read, their rows, and how many could not be.

    One that cannot be read is replaced by the next in order.

    Raises:
        DataError: most of them cannot be read.
    """
    found: dict[int, torch.Tensor] = {}
    bad: list[str] = []
    place = 0
    session.progress.start("reading images", wanted)
    while len(found) < wanted and place < len(order):
        some = order[place : place + wanted - len(found)]
        place += len(some)
        for row, value in pictures.read(some):
            try:
                found[row] = prepare(decoded(value))
            except HubcleanError:
                raise
            except Exception as error:  # a damaged file makes PIL raise anything
                bad.append(str(error))
                if len(bad) >= _EARLY and len(bad) > len(found):
                    raise _too_many(bad, found) from error
                continue
            session.progress.advance()
    session.progress.finish()
    if len(bad) > len(found) or not found:
        raise _too_many(bad, found)
    kept = [row for row in order[:place] if row in found]
    return torch.stack([found.pop(row) for row in kept]), kept, len(bad)


def _too_many(bad: list[str], found: dict[int, torch.Tensor]) -> DataError:
    why, count = Counter(bad).most_common(1)[0] if bad else ("there are none", 0)
    return DataError(
        f"too many images cannot be read: {len(bad)} of {len(bad) + len(found)}; {count} of them: {printable(why, 120)}"
    )


def line(pictures: Pictures, taken: int, unreadable: int) -> tuple[str, dict[str, int]]:
    """What was taken and what was left, in words and in numbers.

    >>> line(pictures, 1000, 20)[0]
    "1,000 of 1,024 pictures of 'pets', split test (2 classes: cat, dog); left: 4 without a label, 20 unreadable"
    """
    left = {why: count for why, count in pictures.left.items() if count}
    if unreadable:
        left[UNREADABLE] = unreadable
    rest = len(pictures) - taken - unreadable
    whole = len(pictures) + sum(pictures.left.values())
    of = f"{taken:,} of {whole:,} pictures" if whole != taken else f"all {taken:,} pictures"
    split = "" if pictures.split == "all" else f", split {printable(pictures.split, 60)}"
    text = f"{of} of {printable(pictures.source, 120)!r}{split} ({_classes(pictures)})"
    said = [f"{count:,} {why}" for why, count in left.items()] + ([f"{rest:,} not drawn"] if rest else [])
    if rest:
        left["not drawn"] = rest
    text += f"; left: {', '.join(said)}" if said else ""
    return "; ".join((text, *pictures.notes)), left


def _classes(pictures: Pictures) -> str:
    if pictures.classes.kind == "none":
        return "without labels"
    used = pictures.classes.used
    shown = ", ".join(printable(name, 40) for name in used[:5]) + (", ..." if len(used) > 5 else "")
    what = "class" if len(used) == 1 else "classes"
    return (
        f"{len(used)} {what}: {shown}" if pictures.classes.kind == "name" else f"{len(used)} {what} by number: {shown}"
    )
