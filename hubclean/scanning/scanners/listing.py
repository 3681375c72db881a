"""Every file of the listing by name and content: pointers, disguises, formats nobody here checks, odd names."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding, Severity
from hubclean.scanning.formats import inert, names
from hubclean.scanning.load_sets.look_alikes import folded, is_a_loaders, name_of_a_loader, seen_as
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import Problem, finding
from hubclean.scanning.scanners import Judgement, each, format_of, not_checked, ok

# What a name promises -> contents that keep the promise. "unknown" is left to the scanner of that format.
_PICKLES = ("pickle", "zip", "tar", "unknown", "text", "json", "numpy", "onnx", *("gzip", "bzip2", "xz", "zstd", "lz4"),
            "arrow")  # fmt: skip
_UNOPENED = ("7z", "rar")
_JOBLIB = (".pkl", ".pickle", ".joblib", ".sav", ".p")
_COMPRESSED = ("gzip", "bzip2", "xz", "zstd", "lz4", "numpy", "arrow")
_PROMISES: dict[str, tuple[str, ...]] = {
    ".safetensors": ("safetensors", "unknown"),
    ".json": ("json", "text", "unknown"),
    ".py": ("text", "json", "unknown"),
    ".npy": ("numpy",),
    ".npz": ("zip",),
    **dict.fromkeys((".h5", ".hdf5", ".hdf", ".he5"), ("hdf5", "unknown")),
    ".keras": ("zip", "hdf5"),
    ".gguf": ("gguf",),
    ".tflite": ("tflite",),
    ".onnx": ("onnx", "unknown", "text"),
    ".pb": ("unknown", "text", "onnx"),
    ".msgpack": ("unknown",),
    ".zip": ("zip",),
    ".mar": ("zip",),
    ".7z": ("7z",),
    ".rar": ("rar",),
    ".gz": ("gzip",),
    ".tgz": ("gzip",),
    ".bz2": ("bzip2",),
    ".xz": ("xz",),
    ".zst": ("zstd",),
    **dict.fromkeys((".tbz", ".tbz2"), ("bzip2",)),
    ".txz": ("xz",),
    ".tzst": ("zstd",),
    ".nemo": ("tar", "gzip"),
    ".lz4": ("lz4",),
    ".parquet": ("parquet",),
    ".arrow": ("arrow", "unknown"),
    ".feather": ("arrow",),
    ".pdf": ("pdf",),
    **{ending: (content, "unknown") for ending, content in inert.PROMISED.items()},
    ".mat": ("matlab", "hdf5", "unknown"),
}


@dataclass(frozen=True)
class Listing:
    """Classifies every file by its first bytes and its name, and says which are not checked at all.

    HC-REP-001 a Git LFS pointer where weights should be, HC-REP-004 a name that leaves the folder, hides characters
    or collides, HC-FMT-001 name and content disagree, HC-FMT-002 a known format that is not checked.
    """

    name: ClassVar[str] = "listing"
    paper: ClassVar[str] = "CVE-2025-1889 and CVE-2025-10155 (scanners routed by extension), huggingface_hub#2160"

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        alike = Counter(folded(entry.path) for entry in files)
        alike |= Counter(seen_as(entry.path) for entry in files if is_a_loaders(entry.path))
        paths = frozenset(entry.path for entry in files)

        def judge(entry: RepoEntry) -> Judgement:
            yield from _name(entry, alike, paths)
            yield from _content(entry, format_of(reader, entry), reader.handled)

        yield from each(files, judge)


# Titles of films are saved so; files that loaders open are not.
_SLASHES = re.compile(
    r"[\u2044\u2215\u29f8\u2571][^/]*\.(json|safetensors|bin|pt|pth|ckpt|onnx|py|pkl|pickle|h5|keras|np[yz]|gguf|msgpack|ya?ml"
    r"|jinja|model)$",
    re.IGNORECASE,
)
# How NTFS and FAT call a file with a longer name, too (CVE-2019-1353).
_SHORT = re.compile(r"^([A-Z0-9_$#@!%&'()^`{}-]{1,6})~\d{1,4}(?:\.([A-Z0-9_]{1,3}))?$", re.IGNORECASE)
_STREAM = re.compile(r":\$(data|index_allocation|bitmap)$", re.IGNORECASE)
# Pictographs that a joiner makes one of, as families and flags are spelled.
_JOINED = re.compile("(?<=[\u2600-\u27bf\ufe0f\U0001f000-\U0001faff])\u200d(?=[\u2600-\u27bf\U0001f000-\U0001faff])")


def _name(entry: RepoEntry, alike: Counter[str], paths: frozenset[str]) -> Judgement:
    parts = entry.path.replace("\\", "/").split("/")
    if entry.path.startswith(("/", "\\", "~")) or ".." in parts or parts[0][1:2] == ":":
        yield finding(Problem("HC-REP-004", "the file's name leaves the folder of the repo"), entry.path)
    if _SLASHES.search(entry.path):
        yield finding(Problem("HC-REP-004", "a sign in the file's name that only looks like a slash"), entry.path)
    if any(_is_git(part) for part in parts):
        yield finding(Problem("HC-REP-004", "a part of the name is git's own folder, or is taken for it"), entry.path)
    if short := next((part for part in parts if _SHORT.match(part)), ""):
        yield from _short_name(entry, short, paths)
    if _STREAM.search(entry.path):
        yield finding(Problem("HC-REP-004", "the name of a stream of another file, as Windows has them"), entry.path)
    if any(unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp") for sign in _JOINED.sub("", entry.path)):
        yield finding(Problem("HC-REP-004", "control or direction characters in the file's name"), entry.path)
    if real := name_of_a_loader(entry.path):
        yield from _disguise(entry, real, paths)
    elif alike[folded(entry.path)] > 1 or (is_a_loaders(entry.path) and alike[seen_as(entry.path)] > 1):
        what = "another file differs only in case, or in signs that are not seen: one hides the other on some disks"
        severity: Severity = "high" if is_a_loaders(entry.path) else "medium"
        yield finding(Problem("HC-REP-004", what, advice="rename one of the two", severity=severity), entry.path)


def _is_git(part: str) -> bool:
    """``.git`` in any case, with signs that disks drop, or by its short name: hooks come with it."""
    return folded(part).partition(":")[0] == ".git" or re.match(r"^git~\d$", part, re.IGNORECASE) is not None


def _short_name(entry: RepoEntry, short: str, paths: frozenset[str]) -> Judgement:
    """A short name of a file that is there: on such a disk one is written over the other."""
    stem, _, tail = short.lower().partition(".")
    before = entry.path[: entry.path.index(short)]
    for path in sorted(paths - {entry.path}):
        name = path[len(before) :].split("/")[0].lower() if path.startswith(before) else ""
        longer, _, ending = name.rpartition(".")
        if len(name) > 8 and _flat(longer or name).startswith(stem.partition("~")[0]) and ending[:3] == tail:
            what = f"the short name that disks of Windows give to {name[:80]}: one is written over the other"
            yield finding(Problem("HC-REP-004", what, advice="rename one of the two"), entry.path)
            return


def _flat(name: str) -> str:
    return re.sub(r"[ .]", "", name)


def _disguise(entry: RepoEntry, real: str, paths: frozenset[str]) -> Judgement:
    """A name that looks like one that loaders open: two faces of a repo where the true one is there, too."""
    beside = entry.path[: entry.path.rfind("/") + 1] + real
    if beside in paths:
        what = f"the name only looks like {real}, which is there, too: readers and disks take one for the other"
        yield finding(Problem("HC-REP-004", what, advice="load nothing before one of the two is gone"), entry.path)
    else:
        what = f"the name only looks like {real}: no loader opens it"
        yield finding(Problem("HC-REP-004", what, advice=f"rename it to {real}", severity="low"), entry.path)


def _content(entry: RepoEntry, content: str, handled: frozenset[str]) -> Judgement:
    suffix, stem = names.suffix(entry.path), entry.path.rsplit("/", 1)[-1].lower()
    if content == "lfs-pointer" and suffix not in names.INERT_TEXT:
        what = "a Git LFS pointer text lies where the file's content should be"
        yield finding(Problem("HC-REP-001", what), entry.path)
        return
    if not _keeps_promise(suffix, stem, content):
        what = f"named {suffix or stem!r}, but by its content: {content}"
        yield finding(Problem("HC-FMT-001", what), entry.path)
    is_text = suffix in names.INERT_TEXT or stem.split(".")[0] in names.INERT_NAMES
    if content == "empty" and suffix != ".safetensors":
        yield ok(entry, "empty")
    elif content == "image" and suffix in names.IMAGES:
        yield ok(entry, "an image by its first bytes; image decoders are not judged")
    elif content in inert.SAID and content in _PROMISES.get(suffix, ()):
        yield ok(entry, inert.SAID[content])
    elif content in ("text", "json") and is_text and suffix not in handled:
        yield ok(entry, "text by name and first bytes; nothing loads it")
    elif content == "executable":
        yield from not_checked(entry, "a program by its first bytes")
    elif kind := _unchecked_kind(suffix, content, handled):
        what = f"{kind}: a known format that hubclean does not check"
        yield finding(Problem("HC-FMT-002", what), entry.path)
        yield FileVerdict(entry.path, entry.size, "unchecked", _said_of(kind, content))


def _keeps_promise(suffix: str, stem: str, content: str) -> bool:
    if content in ("empty", "lfs-pointer"):
        return True
    if suffix in names.PICKLE_NAMES:
        return content in _PICKLES and (suffix in _JOBLIB or content not in _COMPRESSED)
    if suffix in names.IMAGES:
        return content in ("image", "unknown")
    if suffix in names.INERT_TEXT or (not suffix and stem in names.INERT_NAMES):
        return content in ("text", "json", "unknown")
    return content in _PROMISES.get(suffix, (content,))


def _said_of(kind: str, content: str) -> str:
    if content in _UNOPENED:
        return f"a {kind} is not opened here: unpack it in a place apart and scan the folder"
    return f"{kind} is not checked by this version"


def _unchecked_kind(suffix: str, content: str, handled: frozenset[str]) -> str | None:
    """The known format that nobody checks; ``None`` where a scanner says that it speaks of such files."""
    if suffix in names.PICKLE_NAMES and content != "safetensors":
        return None  # the scanner ``pickles`` speaks of them
    if content in handled or (suffix in handled and content in _PROMISES.get(suffix, (content,))):
        return None
    return names.UNCHECKED_CONTENT.get(content) or names.UNCHECKED_NAMES.get(suffix)
