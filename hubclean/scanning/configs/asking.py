"""What one value of a config asks a loader for: code, a kernel, another repo, a path that leaves the repo."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hubclean.records import Severity
from hubclean.scanning.configs.fields_of_key import reads, rows_at
from hubclean.scanning.configs.loader_fields import LoaderField
from hubclean.scanning.configs.renaming import Renaming, in_labels
from hubclean.scanning.named_code import WORDS, evaluated, is_called, names_calls, target

Path = tuple[str, ...]

LONGEST_REFERENCE = 400  # no repo id with a class is longer; keeps the pattern's backtracking short

CONFIG_NAMES = re.compile(r"(config|index|modules|map)[^/]*\.json$", re.IGNORECASE)
ADVICE = {
    "code": "do not load it with trust_remote_code=True; read the code it names first",
    "critical": "do not load it with transformers below 5.5; remove the field",
    "redirect": "load nothing from there; remove the field or pin and scan what it names",
    "base": "scan it, too: hubclean scan --follow does",
    "alias": "remove the map; no library writes one",
    "json": "ask the author for a clean export",
}
_CODE_REFERENCE = re.compile(r"^[\w.-]+(/[\w.-]+)?--[\w.]+\.\w+$")
_REMOTE = re.compile(
    r"^\s*(?:[a-z][a-z0-9+.-]{1,15}://|(?:file|data|\\\\)[:\\]|//|(?:hf[-_]hub|local-dir):)", re.IGNORECASE
)
_SCHEME = re.compile(r"^\s*[a-z][a-z0-9+.\-_]+:", re.IGNORECASE)
_OUTSIDE = re.compile(r"^\s*([/~\\]|[A-Za-z]:[\\/])|(^|[\\/])\s*\.\.\s*([\\/]|$)")
_OWN_PATH = re.compile(r"^(/(?!/)|~/|\./|[A-Za-z]:[\\/])")
_UPWARDS = re.compile(r"(^|[\\/])\.\.([\\/]|$)")
_REPO_ID = re.compile(r"^[\w][\w.-]*/[\w][\w.-]*(@[\w./-]+)?$")
_PATH_KEYS = re.compile(
    r"^(url|file|weights|state_dict)$|_file$|(?<!name_or)(?<!index)(?<!passages)_path$|_filename$|^checkpoint"
)
_TIMM_REPO = re.compile(r"^timm/[\w.-]+$")  # without a revision: anybody may open a pull request there
# What timm's own registry loads from (1.0.31), and writes into what is exported from it: authors of the papers.
_TIMM_OWNER = re.compile(r"^(apple|belfner|jienengchen|microsoft|munehiro-k|naver-ai)/[\w.-]+$")
_TIMM_SOURCE = re.compile(
    r"^https://(github\.com/((rwightman|huggingface)/[\w-]+|SwinTransformer/storage|sail-sg/volo|ChuanyangZheng/iFormer"
    r"|huawei-noah/CV-Backbones)/releases/download|dl\.fbaipublicfiles\.com|download\.pytorch\.org"
    r"|docs-assets\.developer\.apple\.com/ml-research|storage\.googleapis\.com/(vit_models|big_vision))(/[\w-][\w.-]*)+$"
)
_VERSIONED = re.compile(r"(config|tokenizer)\.[0-9][\w.]*\.json")
_CACHED = re.compile(r"^(/|~/|[A-Za-z]:[\\/]).*[\\/]\.?cache[\\/]huggingface[\\/]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Ask:
    """What a value asks for: a rule, a severity of it, in words; ``hostile`` ``None``: as the rule says."""

    rule: str
    severity: Severity
    what: str
    advice: str
    hostile: bool | None = None

    @property
    def refused(self) -> bool:
        """Whether our own loading stops at it, instead of leaving the field out."""
        return self.severity in ("high", "critical") and self.hostile is not False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: in which file, of which repo, under which renamings."""

    file: str
    own: str = ""
    renaming: Renaming = field(default_factory=Renaming)

    @property
    def name(self) -> str:
        return self.file.rsplit("/", 1)[-1]

    @property
    def is_config(self) -> bool:
        return CONFIG_NAMES.search(self.file) is not None or self.name == "export.json"


def asks(path: Path, value: object, place: Place) -> Iterator[Ask]:
    """What the value at ``path`` (keys from the root, a list's own key once more for its items) asks for."""
    key = path[-1] if path else ""
    if value in (None, False, "", [], {}):
        return
    # Where a loader field is meant, numbers are something else: a token or a label of that name.
    if isinstance(value, (int, float)) and not isinstance(value, bool) and not _is_switch(path, place):
        return
    if in_labels(path[:-1]) and not place.renaming.classes:
        return
    if isinstance(value, str) and "/" in value and _of_kernels(path, place):
        what = f"{_shown(path, value, place)}: a kernel from a Hub repo (CVE-2026-4372)"
        yield Ask("HC-CFG-002", "critical", what, "critical")
        return
    if path[-2:-1] == ("chat_template",) and (leaves := foreign(key)):
        yield Ask("HC-CFG-003", "high", f"a template named {json.dumps(key)[:120]}: {leaves}", "redirect")
        return
    for name in place.renaming.names(key):
        found = list(_of_name(path, name, value, place))
        yield from found
        if found:
            return
    if isinstance(value, str) and is_called(value, path):
        what = f"{_shown(path, value, place)}: whoever makes what a config names runs it"
        yield Ask("HC-CFG-001", "high", what, "code", True)
    if isinstance(value, str) and value[:1] in ("{", "[") and key.lower() not in WORDS and names_calls(value):
        what = f"{_shown(path, value, place)}: JSON in a text, which names a function that runs commands"
        yield Ask("HC-CFG-001", "high", what, "code", True)
    if isinstance(value, str) and key.lower() not in WORDS and (reached := evaluated(value)):
        what = f"{_shown(path, value, place)}: an expression for a loader to evaluate, reaching for {reached[:40]!r}"
        yield Ask("HC-CFG-001", "high", what, "code", True)
    if isinstance(value, str) and len(value) <= LONGEST_REFERENCE and _CODE_REFERENCE.match(value):
        yield Ask("HC-CFG-001", "high", f"{_shown(path, value, place)}: code of another repo", "code")


def table_keys(path: Path, place: Place) -> list[LoaderField]:
    """The rows that a key falls under, by all its names; ``path`` are the keys that lead to it, itself last."""
    key = path[-1] if path else ""
    return [row for name in place.renaming.names(key) for row in rows_at(path, name, place.name)]


def _of_name(path: Path, name: str, value: object, place: Place) -> Iterator[Ask]:
    for row in rows_at(path, name, place.name):
        if value in row.ordinary:
            continue
        found = list(_READS[row.reads](row, path, name, value, place)) if row.reads in _READS else []
        yield from found
        if found:
            return


def _alias(row: LoaderField, path: Path, key: str, value: object, place: Place) -> Iterator[Ask]:
    if isinstance(value, dict):
        yield Ask("HC-CFG-001", "low", f"{_shown(path, value, place)}: keys get the meaning of others", "alias")


def _code(row: LoaderField, path: Path, key: str, value: object, place: Place) -> Iterator[Ask]:
    if key == "_target_" and isinstance(value, str):
        severity, hostile = target(value)
        yield Ask("HC-CFG-001", severity, f"{_shown(path, value, place)}: code from outside", "code", hostile)
    elif path.count(path[-1]) == 1:
        yield Ask("HC-CFG-001", "high", f"{_shown(path, value, place)}: code from outside the library", "code")


def _import(row: LoaderField, path: Path, key: str, value: object, place: Place) -> Iterator[Ask]:
    if isinstance(value, str) and (not row.dotted or "." in value):
        if any(value == own or value.startswith(f"{own}.") for own in row.own):
            return
        yield Ask("HC-CFG-001", "high", f"{_shown(path, value, place)}: a module from outside the library", "code")


def _switch(row: LoaderField, path: Path, key: str, value: object, place: Place) -> Iterator[Ask]:
    shown = _shown(path, value, place)
    if key == "custom_load" and value is True:
        # Exports of timm before 1.0.30 carry it for weights that were once .npz; timm's own code reads those.
        yield Ask("HC-CFG-001", "low", f"{shown}: weights in a format of their own", "code")
    elif key == "custom_load":
        yield Ask("HC-CFG-001", "high", f"{shown}: code from outside the library", "code")
    elif len(set(path)) > 1:
        yield Ask("HC-CFG-002", "critical", f"{shown}, in a nested config (CVE-2026-5241)", "critical")
    else:
        yield Ask("HC-CFG-001", "high", shown, "code")


def _name(row: LoaderField, path: Path, key: str, value: object, place: Place) -> Iterator[Ask]:
    if isinstance(value, str) and (_SCHEME.match(value) or _OUTSIDE.search(value)):
        yield Ask("HC-CFG-003", "high", f"{_shown(path, value, place)}: another place to load from", "redirect")


def _weights(row: LoaderField, path: Path, key: str, value: object, place: Place) -> Iterator[Ask]:
    if not isinstance(value, str) or not (place.is_config or row.anywhere):
        return
    shown = _shown(path, value, place)
    known = _TIMM_SOURCE if key == "url" else _TIMM_OWNER if key == "hf_hub_id" else None
    if known and known.match(value):
        yield Ask("HC-CFG-003", "low", f"{shown}: where timm's own registry loads from", "redirect")
    elif leaves := foreign(value):
        # Where the author trained an adapter, by his own path.
        own = key == "base_model_name_or_path" and place.name == "adapter_config.json" and _OWN_PATH.match(value)
        severity: Severity = "low" if own and not _UPWARDS.search(value) else "high"
        yield Ask("HC-CFG-003", severity, f"{shown}: {leaves} in a loader's field", "redirect")
    elif _REPO_ID.match(value) and not _PATH_KEYS.search(key) and value.split("@")[0] != place.own:
        if key == "hf_hub_id" and _TIMM_REPO.match(value):
            return  # timm writes its own repo there, and loads from where the config came from
        if row.reads == "base" and place.name in row.files:
            what = f"{_shown(path, value, place)}: it is loaded with this repo"
            yield Ask("HC-CFG-003", "info", what, "base")
            return
        # Where no loader opens the config, nothing follows it.
        yield Ask("HC-CFG-003", "high", f"{shown}: another repo", "redirect", hostile=False)


def _data(row: LoaderField, path: Path, key: str, value: object, place: Place) -> Iterator[Ask]:
    if not isinstance(value, str) or value.split("@")[0] == place.own:
        return
    shown = _shown(path, value, place)
    if leaves := foreign(value):
        yield Ask("HC-CFG-003", "high", f"{shown}: {leaves} in a loader's field", "redirect")
    elif "/" in value:
        yield Ask("HC-CFG-003", "low", f"{shown}: plain data from another repo", "redirect")


def _member(row: LoaderField, path: Path, key: str, value: object, place: Place) -> Iterator[Ask]:
    if not isinstance(value, str):
        return
    shown = _shown(path, value, place)
    if key in ("configuration_files", "fast_tokenizer_files"):
        if not _VERSIONED.fullmatch(value) and not re.fullmatch(r"(config|tokenizer)\.json", value):
            what = f"{shown}: no name of a config for a version of transformers"
            yield Ask("HC-CFG-003", "high", what, "redirect")
    elif (leaves := foreign(value)) and (place.is_config or row.anywhere):
        if _CACHED.match(value) and not _UPWARDS.search(value):
            what = f"{shown}: left over from the author's own cache"
            yield Ask("HC-CFG-003", "low", what, "redirect")
        else:
            yield Ask("HC-CFG-003", "high", f"{shown}: {leaves} in a loader's field", "redirect")


def _options(row: LoaderField, path: Path, key: str, value: object, place: Place) -> Iterator[Ask]:
    """Options that are handed to another program or library as one text."""
    if isinstance(value, str) and any(foreign(word) for word in re.split(r"[\s=]", value)):
        shown = _shown(path, value, place)
        yield Ask("HC-CFG-003", "high", f"{shown}: options that name a file outside the repo", "redirect")


def _path(row: LoaderField, path: Path, key: str, value: object, place: Place) -> Iterator[Ask]:
    if isinstance(value, str) and _UPWARDS.search(value):
        yield Ask("HC-CFG-003", "high", f"{_shown(path, value, place)}: a path outside the repo", "redirect")


_READS: dict[str, Callable[[LoaderField, Path, str, object, Place], Iterator[Ask]]] = {
    "alias": _alias,
    "code": _code,
    "import": _import,
    "switch": _switch,
    "name": _name,
    "weights": _weights,
    "base": _weights,
    "data": _data,
    "member": _member,
    "options": _options,
    "path": _path,
}


def foreign(value: str) -> str:
    """How a text leaves the repo: by an address or by its path; empty if it does not."""
    if _REMOTE.match(value):
        return "an address"
    return "a path outside the repo" if _OUTSIDE.search(value) else ""


def _is_switch(path: Path, place: Place) -> bool:
    """Whether a number switches remote code on: Python takes 1 for true."""
    return path[-1:] == ("trust_remote_code",) and place.is_config and not in_labels(path)


def _of_kernels(path: Path, place: Place) -> bool:
    """Whether a value stands below a field for kernels, by any of its names, also as one row of a table of them."""
    return _below_kernels(path) or (
        bool(place.renaming.classes)
        and any(reads(name, "kernel") for key in path for name in place.renaming.names(key))
    )


@functools.lru_cache(256)
def _below_kernels(path: Path) -> bool:
    return any(reads(key, "kernel") for key in path)


def where(path: Path) -> str:
    """The keys that lead to a value, in one text."""
    return ".".join(dict.fromkeys(path)) or "the root"


def _shown(path: Path, value: object, place: Place) -> str:
    """The field and the beginning of its value, of which no more is written out than is shown."""
    text = ""
    for part in json.JSONEncoder().iterencode(value[:200] if isinstance(value, str) else value):
        text += part[: 120 - len(text)]
        if len(text) == 120:
            break
    key = path[-1] if path else ""
    others = [name for name in place.renaming.classes.get(key, ()) if name != key]
    renamed = f" (by attribute_map also {', '.join(others[:3])})"[:120] if others else ""
    return f"{where(path)[:80]}{renamed} is {text}"
