"""Judges every member of a zip by its content: pickles are walked, arrays read, code and containers named.

The bytes of storages that a torch pickle refers to are data by that reference and are not read.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace

from hubclean.errors import BudgetError, TransportError
from hubclean.scanning.formats.content import sniff
from hubclean.scanning.formats.names import HEAD, PICKLE_NAMES, UNCHECKED_CONTENT, UNCHECKED_NAMES, suffix
from hubclean.scanning.formats.npy import BrokenHeader, header_length, object_problems, read_array_header
from hubclean.scanning.formats.pickle_sniff import reads_as_pickle
from hubclean.scanning.formats.torch_zip import check_storages, storage_members, torch_zip
from hubclean.scanning.formats.torchscript import LONGEST_CODE, bytecode_problems, code_problems
from hubclean.scanning.formats.zip_directory import (
    CENTRAL,
    LARGEST_MEMBER,
    MOST_MEMBERS,
    BrokenZip,
    Directory,
    ZipMember,
    local_header,
    member_content,
    read_directory,
)
from hubclean.scanning.formats.zip_found import Work, ZipFile
from hubclean.scanning.formats.zip_graphs import judge_graphs
from hubclean.scanning.formats.zip_structure import executable, holes, structure
from hubclean.scanning.pickles import walk
from hubclean.scanning.pickles.streams import PickleFile, read_pickles
from hubclean.scanning.rules import Problem
from hubclean.scanning.sources import SMALL, BytesSource, Source, tail_size

MOST_READ, MOST_UNPACKED = 400, 64 << 20  # members of an archive, those inside too, that are looked at; bytes of them
MOST_DESCRIBED = 256 << 10  # bytes of array headers; one has 128
UNCLAIMED = "bytes that belong to no member were not looked at"
_PACKED, _DEEPEST = ("gzip", "bzip2", "xz", "zstd", "lz4", "tar"), 4
# Names that torch.jit writes and its own C++ reader resolves; no such Python module or nothing but lists behind them.
_ENUM = "the arguments of a call are no tuple"  # so torch.jit writes a member of an Enum; no Python reader takes it
_SCRIPTED = ("refers to __torch__.", "refers to torch.jit._pickle.")


def read_zip(
    source: Source, allow: frozenset[str] = frozenset(), depth: int = 0, work: Work | None = None, unknown: bool = False
) -> ZipFile:
    """Judge a zip and all its members, pickles by ``allow`` and ``unknown`` as ``read_pickles``; ``depth`` counts the
    archives around it, and ``work`` what they have cost.

    Raises:
        HubcleanError: nothing could be read.
    """
    file = ZipFile()
    try:
        directory = file.directory = read_directory(source)
    except BrokenZip as error:
        # No reader of weights opens it either; in a file that is loaded it counts by its severity.
        file.problems.append(Problem("HC-ZIP-001", str(error), error.offset, hostile=False))
        file.unchecked.append(str(error))
        return file
    except BudgetError as error:
        file.unchecked.append(str(error))
        return file
    file.problems += structure(directory)
    file.torch = torch_zip(directory)
    work = work or Work()
    work.entries += len(directory.members)
    judge = _Judge(source, directory, file, allow, depth, work, unknown)
    used = judge.torch_pickle() if file.torch else set()
    near = _near(source, file)
    for member in directory.members:
        if member.is_folder:
            continue
        stop = member.header + 30 + len(member.raw_name) + 64
        if member.name in used:
            file.storages += 1
            if not (member.header >= near[1] or stop <= near[0]):
                continue  # its local header would cost a request, and holds nothing that runs
        judge.member(member, data=member.name in used)
    file.problems += holes(directory, judge.ends)
    if any(row.rule == "HC-ZIP-004" for row in (*structure(directory), *holes(directory, judge.ends))):
        file.unchecked.append(UNCLAIMED)
    return file


def _near(source: Source, file: ZipFile) -> tuple[int, int]:
    """The beginning and the end of the file that are read anyway: up to the first and from the second offset."""
    if source.size <= SMALL:
        return source.size, 0
    pickle = file.torch.pickle if file.torch else None
    front = pickle.header + 30 + len(pickle.raw_name) + pickle.packed if pickle and pickle.header < SMALL else 0
    return front, source.size - tail_size(source.size)


@dataclass(slots=True)
class _Judge:
    source: Source
    directory: Directory
    file: ZipFile
    allow: frozenset[str]
    depth: int
    work: Work
    unknown: bool = False
    silenced: bool = False  # whether more members were passed over than are named
    walked: set[str] = field(default_factory=set)  # names of pickles that were walked with their storages
    ends: dict[int, int] = field(default_factory=dict)  # local header -> where the member's bytes end
    base: int | None = None  # where the bytes of the last body lie in the file; None if it was packed

    def torch_pickle(self) -> set[str]:
        """Walk ``data.pkl``, and what TorchScript keeps likewise; the names of the storage records that they use."""
        found = self.file.torch
        assert found is not None
        used = self._with_storages(found.pickle, "data")
        for folder in ("constants", "traced_inputs") if found.script else ():
            named = [row for row in self.directory.members if row.name == f"{found.root}{folder}.pkl"]
            for member in named[:1]:
                used |= self._with_storages(member, folder)
        return used

    def _with_storages(self, member: ZipMember, folder: str) -> set[str]:
        found = self.file.torch
        assert found is not None
        self.walked.add(member.name)
        if (body := self._body(member)) is None:
            return set()
        walked = self._walked(body)
        if folder == "data":
            self.file.pickle = walked
        self._pickle(member, walked, torch=True)
        members = storage_members(self.directory, found.root, folder)
        if walked.unchecked or not walked.walks[0].complete:
            return set()
        storages, problems, unchecked = check_storages(walked, members, self._body)
        if folder != "traced_inputs":  # of those torch.jit keeps the headers alone, and loads none
            self.file.problems += problems
            self.file.unchecked += unchecked
        return {members[key].name for key in storages if key in members}

    def member(self, member: ZipMember, data: bool) -> None:
        """Local header, name, first bytes; then what they ask for. ``data``: a storage, whose bytes are not judged."""
        if self.work.read >= MOST_READ and not data:
            if not self.silenced:
                self.file.unchecked.append(f"more than {MOST_READ} members; the others were not read")
            self.silenced = True
            return
        self.work.read += not data
        found = self.file.torch
        try:
            odd, begin = local_header(self.source, member, self.directory.begin)
            self.file.problems += odd
            self.ends[member.header] = begin + member.packed
            if data or member.name in self.walked:
                return
            head = member_content(self.source, member, begin, self.directory.begin, HEAD)
        except BrokenZip as error:
            self.file.problems.append(Problem("HC-ZIP-001", str(error), error.offset))
            self.file.unchecked.append(f"{member.name[:100]!r} cannot be read")
            return
        script = bool(found and found.script and member.name.startswith(f"{found.root}code/"))
        if script and member.name.endswith(".py"):
            self._script(member)
        elif not script and (code := executable(member, head)):
            self.file.problems.append(code)
        else:
            self._content(member, begin, head)

    def _script(self, member: ZipMember) -> None:
        """A file of TorchScript's code."""
        self.file.scripts += member.size
        if self.file.scripts > LONGEST_CODE:
            self.file.unchecked.append(f"more than {LONGEST_CODE:,} bytes of TorchScript")
        elif (body := self._body(member)) is not None:
            self.file.problems += [self._placed(member, problem) for problem in code_problems(body)]

    def _content(self, member: ZipMember, begin: int, head: bytes) -> None:
        kind, ending = sniff(head, member.size), suffix(member.name)
        named = ending in PICKLE_NAMES
        reads = kind == "pickle" or (kind != "zip" and self._reads(member, begin, head, named))
        if reads or (named and kind in ("unknown", "text")):
            if (body := self._body(member)) is not None:
                if member.name.endswith("bytecode.pkl"):
                    self.file.problems += [self._placed(member, row) for row in bytecode_problems(body)]
                walked = self._walked(body)
                if reads or walked.walks[0].names:
                    return self._pickle(member, walked, torch=False)
                self.file.unchecked.append(f"{member.name[:100]!r} is no pickle, as its name says")
        elif reads is None:
            self.file.unchecked.append(f"{member.name[:100]!r} reads as the constants of a pickle")
        elif kind in ("numpy", "zip"):
            self._array(member, begin, head) if kind == "numpy" else self._nested(member)
        elif (found := judge_graphs(self.source, member, begin, kind, self._body)) is not None:
            self.file.plain += 1
            self.file.problems += found.problems
            self.file.unchecked += found.unchecked
        elif kind in _PACKED and (body := self._body(member)) is not None:
            self.file.packed.append((member.name, body))
        elif kind in ("text", "json", "image", "empty"):
            self.file.plain += 1
        else:
            told = UNCHECKED_CONTENT.get(kind) or UNCHECKED_NAMES.get(ending) or f"of unknown kind ({kind})"
            self.file.unchecked.append(f"member {member.name[:100]!r} is not checked: {told}")

    def _reads(self, member: ZipMember, begin: int, head: bytes, named: bool) -> bool | None:
        """Whether a member of another format reads as a pickle too."""

        def more(length: int) -> bytes:
            self.work.unpacked += length
            return member_content(self.source, member, begin, self.directory.begin, length)

        return reads_as_pickle(head, member.size, named, more)

    def _body(self, member: ZipMember) -> bytes | None:
        """The whole member; ``None`` if it is too large or broken, which is noted. Its CRC is checked."""
        if member.size > LARGEST_MEMBER or member.packed > LARGEST_MEMBER:
            more = f"{member.size:,} bytes, more than the {LARGEST_MEMBER:,} looked at"
            self.file.unchecked.append(f"member {member.name[:100]!r} has {more}")
            return None
        if self.work.unpacked + member.size > MOST_UNPACKED:
            what = f"member {member.name[:100]!r} is beyond the {MOST_UNPACKED:,} bytes of members that are looked at"
            self.file.unchecked.append(what)
            return None
        self.work.unpack(member.size)
        try:
            _, begin = local_header(self.source, member, self.directory.begin)
            body = member_content(self.source, member, begin, self.directory.begin, member.size + 1)
            self.base = begin if member.method == 0 else None
        except BrokenZip as error:
            self.file.problems.append(Problem("HC-ZIP-001", str(error), error.offset))
            self.file.unchecked.append(f"{member.name[:100]!r} cannot be read")
            return None
        except (BudgetError, TransportError) as error:
            self.file.unchecked.append(f"member {member.name[:100]!r}: {error}")
            return None
        if len(body) != member.size or zlib.crc32(body) != member.crc:
            what = f"{member.name[:100]!r} has another length or CRC than its record says"
            self.file.problems.append(Problem("HC-ZIP-001", what, member.header))
        return body

    def _walked(self, body: bytes) -> PickleFile:
        walked = read_pickles(BytesSource(body), self.allow, walk.MOST_OPCODES - self.work.opcodes, self.unknown)
        self.work.opcodes += walked.opcodes
        return walked

    def _pickle(self, member: ZipMember, walked: PickleFile, torch: bool) -> None:
        self.file.pickles += 1
        script = self.file.torch is not None and self.file.torch.script
        for problem in walked.problems:
            outside = problem.rule == "HC-PKL-004" and problem.what.startswith("a value kept outside")
            if outside and (torch or (script and member.name.lower().endswith("constants.pkl"))):
                continue  # storages, judged by themselves; of traced constants they lie beside the pickle
            if script and (problem.what.startswith(_SCRIPTED) or problem.what == _ENUM):
                continue
            self.file.problems.append(self._placed(member, problem))
        if walked.unchecked:
            self.file.unchecked.append(f"member {member.name[:100]!r}: {walked.unchecked}")
            self.file.pickled = True

    def _placed(self, member: ZipMember, problem: Problem) -> Problem:
        """The problem of a member with its place in the whole file."""
        known = self.base is not None and problem.offset is not None
        offset = (self.base or 0) + (problem.offset or 0) if known else member.header
        return replace(problem, what=f"{member.name[:100]}: {problem.what}", offset=offset)

    def _array(self, member: ZipMember, begin: int, head: bytes) -> None:
        self.file.arrays += 1
        try:
            stop = header_length(head)
            if self.work.described + stop > MOST_DESCRIBED:
                self.file.unchecked.append(f"more than {MOST_DESCRIBED:,} bytes of array headers")
                return
            self.work.described += stop
            if len(head) < stop:
                head = member_content(self.source, member, begin, self.directory.begin, stop)
            header = read_array_header(head)
            odd = header.odd
            if not odd and (cut := header.differs(member.size)):
                self.file.unchecked.append(f"{member.name[:100]!r}: {cut}")
        except BrokenHeader as error:
            odd = str(error)
        if not odd:
            return
        what = f"{member.name[:100]!r} is, or may be, an array of Python objects ({odd}): reading it unpickles them"
        body = self._body(member)
        rows, plain = object_problems(body, self._walked) if body is not None else ([], False)
        odd_array = Problem("HC-NPY-001", what, member.header, severity="medium" if plain else None)
        self.file.problems += [odd_array, *(self._placed(member, row) for row in rows)]

    def _nested(self, member: ZipMember) -> None:
        what = f"{member.name[:100]!r} is a second container inside the first"
        self.file.problems.append(Problem("HC-ZIP-004", what, member.header))
        body = None if self.depth >= _DEEPEST else self._body(member)
        if body is None or self.work.entries + body.count(CENTRAL) > MOST_MEMBERS:
            self.file.unchecked.append(f"member {member.name[:100]!r} is a container that was not opened")
            return
        inner = read_zip(BytesSource(body), self.allow, self.depth + 1, self.work, self.unknown)
        self.file.problems += [self._placed(member, problem) for problem in inner.problems]
        self.file.unchecked += [f"{member.name[:100]}: {reason}" for reason in inner.unchecked]
        self.file.packed += [(f"{member.name}/{name}", body) for name, body in inner.packed]
