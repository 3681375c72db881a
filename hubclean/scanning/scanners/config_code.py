"""Fields of JSON and YAML configs that make a loader run code, or load from elsewhere, at any depth."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from hubclean.hub.repos import RepoEntry
from hubclean.records import FileVerdict, Finding, Severity
from hubclean.registry import Doc
from hubclean.scanning.formats.names import suffix
from hubclean.scanning.formats.strict_json import MOST_VALUES, JsonProblem, read_json, values_in
from hubclean.scanning.formats.tokenizing.vocabulary import BrokenText, condensed
from hubclean.scanning.named_code import named_code, target
from hubclean.scanning.reader import Reader
from hubclean.scanning.rules import Problem, finding
from hubclean.scanning.scanners import Judgement, each, not_checked, ok

Path = tuple[str, ...]

LONGEST_REFERENCE = 400  # no repo id with a class is longer; keeps the pattern's backtracking short

_LONGEST_KEY = 256

_CODE_KEYS = re.compile(
    r"^(auto_map|custom_pipelines?|custom_generate|custom_load|_target_|custom_objects|parent_library)$"
)
_KERNEL_KEYS = re.compile(r"_implementation|kernel", re.IGNORECASE)
_CODE_REFERENCE = re.compile(r"^[\w.-]+(/[\w.-]+)?--[\w.]+\.\w+$")
# Fields from which timm, transformers, peft and diffusers load a second repo, file or address.
_LOADER_KEYS = re.compile(
    r"^(hf_hub_id|hf_hub_filename|url|file|state_dict|checkpoint|checkpoint_path|pretrained|pretrained_model_path"
    r"|pretrained_backbone|backbone|backbone_checkpoint|weights|weights_path|base_model_name_or_path"
    r"|(pre)?trained_model_name_or_path|pretrained_model_name_or_path|(model|tokenizer|processor)_name_or_path"
    r"|vocab_file|merges_file|tokenizer_file|spm_file|image_processor_path|repo_id|model_path|config_path"
    r"|transformers_weights|chat_template_file|parent_model_name_or_path|speculator_name_or_path"
    r"|hf_model_name|hf_tokenizer_name|model_id|(weights|checkpoint|model|download|pretrained)_url|ckpt|ckpt_path)$"
)
# Names of timm models: one with a scheme in front loads that repo or folder instead.
_MODEL_KEYS = re.compile(r"^(architecture|model_name|timm_model_name|timm_model|arch)$")
_REMOTE = re.compile(
    r"^(https?|ftp|s3|gs|hf|file|data|ssh|git\+\w+)://|^(file|data|\\\\)[:\\]|^(hf[-_]hub|local-dir):", re.IGNORECASE
)
_OUTSIDE = re.compile(r"^([/~\\]|[A-Za-z]:[\\/])|(^|[\\/])\.\.([\\/]|$)")
_FILE_KEYS = re.compile(r"(^|_)file(name)?s?$|(^|(?<!name_or)_)path$")  # of any library; most hold bare names
_UPWARDS = re.compile(r"(^|[\\/])\.\.([\\/]|$)")
_REPO_ID = re.compile(r"^[\w][\w.-]*/[\w][\w.-]*(@\w+)?$")
_PATH_KEYS = re.compile(r"^(url|file|weights|state_dict)$|_file$|(?<!name_or)_path$|_filename$|^checkpoint")
_CONFIG_NAMES = re.compile(r"(config|index|modules|map)[^/]*\.json$", re.IGNORECASE)
# timm's early configs carry the address of the very weights; only timm and the papers' authors can change those.
_TIMM_SOURCE = re.compile(
    r"^https://(github\.com/(rwightman|huggingface)/pytorch-image-models/releases/download"
    r"|dl\.fbaipublicfiles\.com|download\.pytorch\.org|storage\.googleapis\.com/vit_models)/[\w./-]+$"
)
_LIBRARIES = {"diffusers", "transformers", "timm", "torch", "onnxruntime.transformers", "stable_diffusion", "flax"}
_YAML = (".yaml", ".yml")
_ADVICE = {
    "code": "do not load it with trust_remote_code=True; read the code it names first",
    "critical": "do not load it with transformers below 5.5; remove the field",
    "redirect": "load nothing from there; remove the field or pin and scan what it names",
    "base": "scan it, too: hubclean scan --follow does",
    "json": "ask the author for a clean export",
}


@dataclass(frozen=True)
class ConfigCode:
    """Walks every JSON file (config, processor, generation, tokenizer, adapter, model_index, timm's pretrained_cfg).

    HC-CFG-001 asks for repo or remote code, HC-CFG-002 reaches code without consent on known versions, HC-CFG-003
    path or repo redirection, HC-CFG-005 does not parse, holds a key twice, is too deep, too long or not finite.
    """

    name: ClassVar[str] = "config-code"
    paper: ClassVar[str] = "CVE-2026-4372 (kernels from config), CVE-2026-5241 (LightGlue); timm pretrained_cfg"
    handles: ClassVar[frozenset[str]] = frozenset({".json", ".yaml", ".yml"})

    max_bytes: Annotated[int, Doc("largest JSON or YAML file that is read, in bytes", 1, 64 << 20)] = 8 << 20
    max_depth: Annotated[int, Doc("deepest nesting of objects and lists", 1, 500)] = 64

    def scan(self, reader: Reader, files: tuple[RepoEntry, ...]) -> Iterable[Finding | FileVerdict]:
        def judge(entry: RepoEntry) -> Judgement:
            kind = suffix(entry.path)
            if (kind != ".json" and kind not in _YAML) or not entry.size:
                return
            text = self._text(reader, entry, kind)
            if text is None:
                what = f"{entry.size} bytes, more than the {self.max_bytes} that are read"
                yield _finding("HC-CFG-005", "medium", entry, what, "json")
                yield from not_checked(entry, what)
                return
            yield from self._json(entry, text, reader.ref.repo_id) if kind == ".json" else _yaml(entry, text)

        yield from each(files, judge)

    def _text(self, reader: Reader, entry: RepoEntry, kind: str) -> bytes | None:
        """The text to be judged, a long vocabulary condensed; ``None`` if it is too long."""
        text = reader.read(entry.path, self.max_bytes) if entry.size <= self.max_bytes else b""
        if (text and values_in(text) <= MOST_VALUES) or kind != ".json" or _CONFIG_NAMES.search(entry.path):
            return text or None
        text = text or reader.stream(entry.path)
        try:
            return None if b"chat_template" in text else condensed(text, self.max_bytes)
        except BrokenText:
            return None

    def _json(self, entry: RepoEntry, text: bytes, own: str) -> Judgement:
        try:
            root, twice = read_json(text)
        except JsonProblem as error:
            yield _finding("HC-CFG-005", "medium", entry, f"does not parse as JSON: {error}", "json")
            yield from not_checked(entry, f"does not parse as JSON: {error}")
            return
        for key in dict.fromkeys(key for key, _ in twice):
            yield _finding(
                "HC-CFG-005", "medium", entry, f"the key {key[:80]!r} is given twice: loaders may differ", "json"
            )
        if entry.path.rsplit("/", 1)[-1] == "model_index.json" and isinstance(root, dict):
            yield from _pipeline(entry, root)
        if entry.path.rsplit("/", 1)[-1] == "modules.json" and isinstance(root, list):
            yield from _modules(entry, root)
        for count, (path, value) in enumerate(walk_config(root, *({key: value} for key, value in twice))):
            if len(path) > self.max_depth or count > MOST_VALUES:
                what = f"nested deeper than {self.max_depth}, or more than {MOST_VALUES} values"
                yield _finding("HC-CFG-005", "medium", entry, what, "json")
                yield from not_checked(entry, what)
                return
            yield from _field(entry, path, value, own)
        yield ok(entry, "JSON; no field asks for code, kernels, foreign repos or paths")


def walk_config(*roots: object) -> Iterator[tuple[Path, object]]:
    """Every value of JSON trees with the keys that lead to it, objects and lists before what they hold.

    A list's items carry the list's own key, so that ``{"url": ["x"]}`` is judged like ``{"url": "x"}``. Keys longer
    than any loader's are cut.
    """
    todo: list[tuple[Path, str | None, object]] = [((), None, root) for root in reversed(roots)]
    while todo:
        path, key, value = todo.pop()
        if key is not None:
            path = (*path, key[:_LONGEST_KEY])
        yield path, value
        if isinstance(value, dict):
            todo += [(path, key, item) for key, item in reversed(value.items())]
        elif isinstance(value, list):
            inside = (*path, path[-1] if path else "")
            todo += [(inside, None, item) for item in reversed(value)]


def _finding(
    rule: str, severity: Severity, entry: RepoEntry, what: str, advice: str, hostile: bool | None = None
) -> Finding:
    return finding(Problem(rule, what, advice=_ADVICE[advice], severity=severity, hostile=hostile), entry.path)


def _field(entry: RepoEntry, path: Path, value: object, own: str) -> Judgement:
    """What one value of a config asks for. ``own`` is the id of the repo that is scanned."""
    key = path[-1] if path else ""
    if isinstance(value, float) and not math.isfinite(value):
        yield _finding("HC-CFG-005", "medium", entry, f"{_where(path)} is {value}, which JSON does not know", "json")
    if value in (None, False, "", [], {}):
        return
    # Where a loader field is meant, numbers are something else: a token or a label of that name.
    if isinstance(value, (int, float)) and not isinstance(value, bool) and not _is_switch(entry, path):
        return
    if key == "trust_remote_code" and len(set(path)) > 1:
        what = f"{_shown(path, value)}, in a nested config (CVE-2026-5241)"
        yield _finding("HC-CFG-002", "critical", entry, what, "critical")
    elif key == "trust_remote_code":
        yield _finding("HC-CFG-001", "high", entry, _shown(path, value), "code")
    elif key == "custom_load" and value is True:
        # Exports of timm before 1.0.30 carry it for weights that were once .npz; timm's own code reads those.
        what = f"{_shown(path, value)}: weights in a format of their own"
        yield _finding("HC-CFG-001", "low", entry, what, "code")
    elif key == "_target_" and isinstance(value, str):
        severity, hostile = target(value)
        yield _finding("HC-CFG-001", severity, entry, f"{_shown(path, value)}: code from outside", "code", hostile)
    elif _CODE_KEYS.match(key) and path.count(key) == 1 and not _is_own_library(key, value):
        yield _finding("HC-CFG-001", "high", entry, f"{_shown(path, value)}: code from outside the library", "code")
    elif isinstance(value, str) and "/" in value and (_of_kernels(key) or _below_kernels(path[:-1])):
        what = f"{_shown(path, value)}: a kernel from a Hub repo (CVE-2026-4372)"
        yield _finding("HC-CFG-002", "critical", entry, what, "critical")
    elif isinstance(value, str) and len(value) <= LONGEST_REFERENCE and _CODE_REFERENCE.match(value):
        yield _finding("HC-CFG-001", "high", entry, f"{_shown(path, value)}: code of another repo", "code")
    elif isinstance(value, str) and _MODEL_KEYS.match(key) and _REMOTE.match(value):
        yield _finding("HC-CFG-003", "high", entry, f"{_shown(path, value)}: another place to load from", "redirect")
    elif isinstance(value, str) and _LOADER_KEYS.match(key) and _CONFIG_NAMES.search(entry.path):
        yield from _redirect(entry, key, value, _shown(path, value), own)
    elif isinstance(value, str) and _of_files(key) and _UPWARDS.search(value):
        yield _finding("HC-CFG-003", "high", entry, f"{_shown(path, value)}: a path outside the repo", "redirect")


def _is_switch(entry: RepoEntry, path: Path) -> bool:
    """Whether a number switches remote code on: Python takes 1 for true."""
    return path[-1:] == ("trust_remote_code",) and bool(_CONFIG_NAMES.search(entry.path)) and "label2id" not in path


@functools.lru_cache(4096)
def _of_files(key: str) -> bool:
    return _FILE_KEYS.search(key) is not None


@functools.lru_cache(4096)
def _of_kernels(key: str) -> bool:
    return _KERNEL_KEYS.search(key) is not None


@functools.lru_cache(64)
def _below_kernels(path: Path) -> bool:
    return any(map(_of_kernels, path))


def _where(path: Path) -> str:
    return ".".join(dict.fromkeys(path)) or "the root"


def _shown(path: Path, value: object) -> str:
    """The field and the beginning of its value, of which no more is written out than is shown."""
    text = ""
    for part in json.JSONEncoder().iterencode(value[:200] if isinstance(value, str) else value):
        text += part[: 120 - len(text)]
        if len(text) == 120:
            break
    return f"{_where(path)[:80]} is {text}"


def _is_own_library(key: str, value: object) -> bool:
    """peft names the library of its base class; that of transformers, timm or torch is no foreign code."""
    own = ("transformers", "timm", "torch")
    return key == "parent_library" and isinstance(value, str) and value.split(".")[0] in own


def _redirect(entry: RepoEntry, key: str, value: str, shown: str, own: str) -> Judgement:
    if key == "url" and _TIMM_SOURCE.match(value):
        yield _finding("HC-CFG-003", "low", entry, f"{shown}: where timm's own registry loads from", "redirect")
    elif _REMOTE.match(value):
        yield _finding("HC-CFG-003", "high", entry, f"{shown}: an address in a loader's field", "redirect")
    elif _OUTSIDE.search(value):
        yield _finding("HC-CFG-003", "high", entry, f"{shown}: a path outside the repo", "redirect")
    elif _REPO_ID.match(value) and not _PATH_KEYS.search(key) and value.split("@")[0] != own:
        if key == "hf_hub_id" and value.startswith("timm/"):
            return  # timm writes its own repo there, and loads from where the config came from
        if key == "base_model_name_or_path" and entry.path.rsplit("/", 1)[-1] == "adapter_config.json":
            what = f"base model {value}: it is loaded with this adapter"
            yield _finding("HC-CFG-003", "info", entry, what, "base")
            return
        # Where no loader opens the config, nothing follows it.
        yield _finding("HC-CFG-003", "high", entry, f"{shown}: another repo", "redirect", hostile=False)


def _pipeline(entry: RepoEntry, root: dict[str, object]) -> Judgement:
    """diffusers: a component is ``[library, class]``; a library of the repo's own is a Python file of the repo."""
    for key, value in root.items():
        named = isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)
        if named and value[0].split(".")[0] not in _LIBRARIES and value[0] not in _LIBRARIES:  # type: ignore[index]
            what = f"{key} is {json.dumps(value)[:120]}: a class from a file of the repo"
            yield _finding("HC-CFG-001", "high", entry, what, "code")


def _modules(entry: RepoEntry, root: list[object]) -> Judgement:
    """sentence-transformers: each module is a class given by its dotted name, which is imported."""
    for row in root:
        named = row.get("type") if isinstance(row, dict) else None
        if isinstance(named, str) and not named.startswith("sentence_transformers."):
            what = f"type is {json.dumps(named)[:120]}: a class from outside the library"
            yield _finding("HC-CFG-001", "high", entry, what, "code")


def _yaml(entry: RepoEntry, text: bytes) -> Judgement:
    try:
        plain = text.decode("utf-8")
    except UnicodeDecodeError as error:
        yield from not_checked(entry, f"YAML that is not UTF-8 at byte {error.start}")
        return
    if found := named_code(plain):
        what = f"{found.seen} in YAML: an unsafe loader may call what follows"
        offset = len(plain[: found.at].encode())
        problem = Problem("HC-CFG-001", what, offset, _ADVICE["code"], found.severity, found.hostile)
        yield finding(problem, entry.path)
    elif "\0" in plain:
        yield from not_checked(entry, "YAML with zero bytes")
    else:
        yield ok(entry, "YAML without Python tags and targets that make more than plain values")
