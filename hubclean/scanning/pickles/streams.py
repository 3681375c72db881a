"""The pickle streams of one file: a raw pickle has one, torch's legacy format five and then the storages' bytes.

Source: ``torch/serialization.py`` (``_legacy_load``): magic number, protocol version, system, the object, the keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hubclean.errors import BudgetError, TransportError
from hubclean.scanning.pickles import walk
from hubclean.scanning.pickles.inside import judged_inside
from hubclean.scanning.pickles.opcodes import NeedMore
from hubclean.scanning.pickles.sparse_tensors import check_sparse
from hubclean.scanning.pickles.stack import CUT
from hubclean.scanning.pickles.torch_tensors import RecordError, Storage, check_tensors, storage_of, text_of
from hubclean.scanning.pickles.values import Items, Pairs, Value
from hubclean.scanning.pickles.walk import Walk, Walker
from hubclean.scanning.rules import Problem
from hubclean.scanning.sources import SMALL, BytesSource, Source, grown, head

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
MOST_STREAMS = 64
_LEGACY_STREAMS = 5
_DEEPEST = 3  # torch files inside one another
_PADDING = 64 << 10


@dataclass(slots=True)
class PickleFile:
    """The streams of a file as far as they were walked.

    Args:
        kind: ``pickle`` or ``torch (legacy)``.
        walks: one a stream, in order.
        problems: those of the walks, of names too, and of the file as a whole.
        unchecked: why not all of it was looked at; empty if it was.
        storages: of a legacy file, key to storage, in the order in which their bytes lie from ``data_start`` on,
            each behind eight bytes that hold its number of elements.
        inside: opcodes walked in torch files that its streams hold.
    """

    kind: str = "a pickle"
    walks: list[Walk] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unchecked: str = ""
    storages: dict[str, Storage] = field(default_factory=dict)
    data_start: int = 0
    inside: int = 0

    @property
    def opcodes(self) -> int:
        """Opcodes of all streams, those of files inside included."""
        return self.inside + sum(found.opcodes for found in self.walks)

    @property
    def root(self) -> Value:
        """The value that a loader would return."""
        return self.walks[3].root if self.kind == "torch (legacy)" and len(self.walks) > 3 else self.walks[0].root


def read_pickles(
    source: Source,
    allow: frozenset[str] = frozenset(),
    most: int | None = None,
    unknown: bool = False,
    depth: int = 0,
) -> PickleFile:
    """Walk every stream of a file, reading more of it as long as a stream goes on.

    ``allow`` holds names (``module.name``, exact) that the user lets pass; at most ``most`` opcodes (else
    ``MOST_OPCODES``) are walked, of all streams together. ``unknown`` lets every name pass that is not known to run
    anything: for readers of tensors, which build nothing. ``depth`` counts the torch files around this one.

    Raises:
        HubcleanError: nothing could be read at all.
    """
    file = PickleFile()
    data, left_out = head(source, SMALL), ""
    left = walk.MOST_OPCODES if most is None else most
    at = 0
    while len(file.walks) < MOST_STREAMS:
        at, data = _next(source, file, at, data, left - file.opcodes)
        last = file.walks[-1]
        held, passed = judged_inside(last)
        left_out = left_out or passed or _cut(last)
        file.problems += [*last.problems, *last.name_problems(allow, unknown), *held]
        _judge_inner(file, last, allow, left, unknown, depth)
        if len(file.walks) == 1 and last.root == MAGIC and type(last.root) is int:
            file.kind = "torch (legacy)"
        done = file.kind == "torch (legacy)" and len(file.walks) == _LEGACY_STREAMS
        if file.unchecked or not last.complete or done or not data[at : at + _PADDING].strip(b"\0"):
            break
    if file.kind == "torch (legacy)":
        _judge_legacy(file, source, at)
    elif not file.unchecked:
        _judge_raw(file, source, at, data)
    file.unchecked = file.unchecked or left_out
    return file


def _cut(found: Walk) -> str:
    """Whether a budget ended the walk: what the rest calls is not known, which is more than a rule broken."""
    cut = not found.complete and any(row.rule == "HC-PKL-007" and row.what.endswith(CUT) for row in found.problems)
    return "the pickle holds more than all need, and its rest was not looked at" if cut else ""


def _next(source: Source, file: PickleFile, at: int, data: bytes, most: int) -> tuple[int, bytes]:
    """Walk one more stream; if it needs bytes that cannot be had, what there is counts and the rest is unchecked."""
    walker = Walker(at, source.size, most=most)
    while True:
        try:
            walker.run(data)
        except NeedMore as more:
            try:
                data = grown(source, len(data), more.stop)
                continue
            except (BudgetError, TransportError) as error:
                file.unchecked = f"the pickle goes on behind its first {len(data):,} bytes: {error}"
        except BudgetError as error:  # what was seen before stands
            file.unchecked = str(error)
        file.walks.append(walker.walked())
        return file.walks[-1].stop, data


def _judge_inner(file: PickleFile, found: Walk, allow: frozenset[str], left: int, unknown: bool, depth: int) -> None:
    """A tensor in a plain pickle is a whole file of the legacy format, which torch loads without any restriction."""
    for offset, body in found.inner:
        if depth >= _DEEPEST:
            file.unchecked = f"torch files nested more than {_DEEPEST} deep"
            return
        held = read_pickles(BytesSource(body), allow, left - file.opcodes, unknown, depth + 1)
        file.inside += held.opcodes
        file.problems += [replace(row, what=f"a torch file inside: {row.what}", offset=offset) for row in held.problems]
        if held.kind != "torch (legacy)":
            what = "torch.storage._load_from_bytes is given what torch.save never gave it"
            file.problems.append(Problem("HC-PKL-003", what, offset))
        file.unchecked = file.unchecked or held.unchecked


def _judge_raw(file: PickleFile, source: Source, at: int, data: bytes) -> None:
    if len(file.walks) > 1:
        what = f"{len(file.walks)} pickles one behind the other, where loaders expect one"
        file.problems.append(Problem("HC-PKL-006", what, file.walks[1].start))
    elif file.walks[0].complete:
        rest = source.size - at
        if rest > _PADDING or data[at:].strip(b"\0"):
            file.problems.append(Problem("HC-PKL-006", f"{rest:,} bytes behind the end of the pickle", at))
    for found in file.walks:
        for persistent in found.persistents[:1]:
            what = "a value kept outside the pickle, where there is nothing outside"
            file.problems.append(Problem("HC-PKL-004", what, persistent.offset))


def _judge_legacy(file: PickleFile, source: Source, at: int) -> None:
    walks = file.walks
    if file.unchecked:
        return
    if len(walks) < _LEGACY_STREAMS or not walks[-1].complete:
        what = f"torch's legacy format has five pickles, here {len(walks)} and the last is not whole"
        file.problems.append(Problem("HC-PKL-005", what, walks[-1].stop))
        return
    if walks[1].root != PROTOCOL or not isinstance(walks[2].root, Pairs):
        what = "protocol version or system record of the legacy format is not a plain value"
        file.problems.append(Problem("HC-PKL-005", what, walks[1].start))
    for found in (*walks[:3], walks[4]):
        if found.names:
            what = "a name where the legacy format has plain values only"
            file.problems.append(Problem("HC-PKL-004", what, found.names[0].offset))
    file.data_start = at
    by_key, problems = read_storages(walks[3])
    keys = walks[4].root.items if isinstance(walks[4].root, Items) else [None]
    order = [text_of(key) or "" for key in keys]
    if problems:
        file.problems += problems
    elif sorted(order) != sorted(by_key):
        what = "the storages that tensors use are not those that the file says to hold"
        file.problems.append(Problem("HC-PKL-008", what, walks[4].start))
    else:
        file.storages = {key: by_key[key] for key in order}
        expected = at + sum(8 + storage.nbytes for storage in file.storages.values())
        if expected > source.size:
            what = f"the storages need {expected:,} bytes of file, there are {source.size:,}"
            file.problems.append(Problem("HC-PKL-008", what, at))
        elif expected < source.size:
            what = f"{source.size - expected:,} bytes behind the last storage"
            file.problems.append(Problem("HC-PKL-006", what, expected))
        else:
            _judge_sparse(file, source, at)


def _judge_sparse(file: PickleFile, source: Source, at: int) -> None:
    places = {}
    for key, storage in file.storages.items():
        places[key] = at + 8
        at += 8 + storage.nbytes

    def read(storage: Storage) -> bytes | None:
        try:
            return source.at(places[storage.key], places[storage.key] + storage.nbytes)
        except (BudgetError, TransportError):
            return None

    faults, file.unchecked = check_sparse(file.walks[3].root, read)
    file.problems += [Problem("HC-PKL-008", what, offset) for what, offset in faults]


def read_storages(found: Walk) -> tuple[dict[str, Storage], list[Problem]]:
    """The storages of a torch pickle by key, the largest where their lengths differ, and what is wrong with them or
    with the tensors on them."""
    by_key: dict[str, Storage] = {}
    problems: dict[str, Problem] = {}
    for persistent in found.persistents:
        try:
            storage = storage_of(persistent)
        except RecordError as error:
            problems.setdefault(str(error), Problem("HC-PKL-008", str(error), error.offset))
            continue
        known = by_key.setdefault(storage.key, storage)
        if known.nbytes != storage.nbytes:
            what = f"storage {storage.key[:60]!r} is said to have {known.nbytes:,} and {storage.nbytes:,} bytes"
            problems.setdefault(what, Problem("HC-PKL-008", what, persistent.offset))
    if not problems:
        try:
            check_tensors(found.root)
        except RecordError as error:
            problems[str(error)] = Problem("HC-PKL-008", str(error), error.offset)
    return by_key, list(problems.values())[:20]
