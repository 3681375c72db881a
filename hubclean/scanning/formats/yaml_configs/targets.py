"""What names in YAML would make a loader do: PyYAML's python tags, HyperPyYAML's, Hydra's and Lightning's targets.

Sources: ``yaml/constructor.py`` (``UnsafeConstructor``) of PyYAML 6; ``hyperpyyaml/core.py`` of 1.2; Hydra 1.3
(``_internal/instantiate``); ``jsonargparse`` (``class_path``). They import what is named, and call it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

from hubclean.records import Severity
from hubclean.scanning.formats.yaml_configs.events import Pair, YamlFile
from hubclean.scanning.named_code import WORDS, calls_beyond_layers, evaluated, is_called, names_calls, target
from hubclean.scanning.pickles.allowed_names import is_allowed, is_dangerous
from hubclean.scanning.pickles.record_names import kind_of
from hubclean.scanning.rules import Problem

ADVICE = "do not load it with trust_remote_code=True; read the code it names first"
LEAVE = "load nothing from there; remove the line"
_PYTHON = "tag:yaml.org,2002:python/"
_SPELLED = re.compile(r"^!!?python/")  # of no meaning to PyYAML, so that nobody writes it to be read as plain data
_PLAIN_TEXT = "none bool str unicode bytes int long float complex list tuple dict"
_PLAIN = frozenset(_PLAIN_TEXT.split())
_CALLS = ("object/apply", "object/new", "module")
_HYPER = ("!new:", "!name:", "!apply:", "!applyref:", "!module:")
_INCLUDE = "!include:"
# Libraries of which configs are full; a class of theirs is a matter of what the loading program does with it.
_KNOWN_TEXT = """
torch torchvision torchaudio numpy argparse pathlib collections datetime enum types decimal fractions uuid omegaconf
hydra lightning lightning_fabric lightning_utilities pytorch_lightning lightning_sdk transformers timm datasets
diffusers accelerate peft tokenizers speechbrain sentence_transformers ray yacs mmengine mmcv easydict addict
ml_collections sklearn pandas PIL albumentations kornia torchmetrics monai segmentation_models_pytorch open_clip
detectron2 fvcore
"""
_KNOWN = frozenset(_KNOWN_TEXT.split())
_REACHING = re.compile(
    r"(^|[._])(load|loads|open|hub|exec|eval|system|popen|run|spawn|import|compile|getattr|download|fetch|save|dump"
    r"|write|remove|unlink|rmtree|extract)([._]|$)|from_?file|tofile|memmap|pickle|subprocess",
    re.IGNORECASE,
)
# As detectron2's own configs name the one above them, which is in no repo of a single model.
_NEIGHBOUR = re.compile(r"^(\.\./){1,2}[\w-]+\.ya?ml$")
_HUB = ("https://huggingface.co/", "https://hf.co/")
_OUTSIDE = re.compile(r"^([/~\\]|[A-Za-z]:[\\/]|\w+://)|(^|[\\/])\.\.([\\/]|$)")
_RAW = re.compile(r"(?:!!|tag:yaml\.org,2002:)python/[\w/]{1,40}+:?[\w.]{0,200}+")
_LONGEST_NAME = 400


def yaml_problems(file: YamlFile) -> dict[Problem, int]:
    """What tags and targets ask for; the place of each in signs."""
    found: dict[Problem, int] = {}
    for tag in file.tags:
        if (problem := tag_problem(tag.name)) is not None:
            found.setdefault(problem, tag.at)
    if any(tag.name.endswith(".Pretrainer") for tag in file.tags):
        found |= {problem: pair.at for pair in file.pairs if (problem := _fetched(pair)) is not None}
    whole = functools.cache(lambda: _spelled(file.pairs))
    made = frozenset(pair.keys[:at] for pair in file.pairs for at, key in enumerate(pair.keys) if key == "params")
    for pair in file.pairs:
        if (problem := _of_pair(pair, whole, made)) is not None:
            found.setdefault(problem, pair.at)
    return found


def _of_pair(pair: Pair, spelled: Callable[[], frozenset[str]], made: frozenset[tuple[str, ...]]) -> Problem | None:
    """What one pair asks for; ``made`` leads to the mappings with ``params``, whose ``name`` pyannote imports."""
    if pair.keys[-1] in ("_target_", "class_path"):
        return _target(pair, spelled)
    shown = f"{pair.keys[-1][:80]} is {pair.value[:120]!r} in YAML"
    if pair.keys[-1] == "_BASE_" and _OUTSIDE.search(pair.value):
        what = f"{shown}: detectron2 reads it with PyYAML's unsafe loader"
        own = _NEIGHBOUR.match(pair.value) is not None
        return Problem("HC-CFG-003", what, advice=LEAVE, severity="low" if own else None, hostile=not own)
    keys = (*pair.keys[:-1], "class") if pair.keys[:-1] in made else pair.keys
    if pair.keys[0] in ("backbone", "head") and calls_beyond_layers(pair.value):
        what = f"{shown}: YOLO's parse_model evaluates it"
        return Problem("HC-CFG-001", what, advice=ADVICE, hostile=True)
    if is_called(pair.value, keys):
        what = f"{shown}: whoever makes what a config names runs it"
        return Problem("HC-CFG-001", what, advice=ADVICE, hostile=True)
    if pair.keys[-1].lower() not in WORDS and (reached := evaluated(pair.value)):
        what = f"{shown}: an expression for a loader to evaluate, reaching for {reached[:40]!r}"
        return Problem("HC-CFG-001", what, advice=ADVICE, hostile=True)
    return None


def mlflow_problems(file: YamlFile) -> dict[Problem, int]:
    """What ``mlflow.pyfunc.load_model`` imports and runs because an ``MLmodel`` says so, without asking.

    Source: mlflow 3 ``pyfunc/__init__.py`` (``loader_module``), ``utils/model_utils.py`` (``code`` goes onto
    ``sys.path``), ``models/model.py`` (``model_code_path``).
    """
    found = {}
    for pair in file.pairs:
        key, value = pair.keys[-1], pair.value.strip()
        if key == "loader_module" and not value.startswith("mlflow."):
            what = "mlflow imports this module and calls it"
        elif key in ("code", "model_code_path") and value not in ("", "null", "~"):
            what = "mlflow imports or runs Python files of the repo"
        else:
            continue
        found[Problem("HC-CFG-001", f"{key} is {value[:120]!r}: {what}", advice=ADVICE)] = pair.at
    return found


def raw_problems(text: str, start: int) -> dict[Problem, int]:
    """Python tags spelled out in text that cannot be followed, from ``start`` on."""
    found: dict[Problem, int] = {}
    for match in _RAW.finditer(text, start):
        name = match.group().replace("!!", "tag:yaml.org,2002:", 1)
        if (problem := tag_problem(name)) is not None:
            found.setdefault(problem, match.start())
    return found


@functools.lru_cache(1024)
def tag_problem(tag: str) -> Problem | None:
    """What is wrong with a tag in full; ``None`` if it makes plain data, or is only a loader's own word."""
    tag = _SPELLED.sub(_PYTHON, tag)
    if tag.startswith(_PYTHON):
        kind, _, name = tag[len(_PYTHON) :].partition(":")
        if kind in _PLAIN:
            return None
        module, _, attribute = name.rpartition(".")
        return _problem(f"the tag python/{kind}:{name}", module or "builtins", attribute, kind in _CALLS, "high")
    if tag.startswith(_INCLUDE):
        place = tag[len(_INCLUDE) :]
        if not _OUTSIDE.search(place):
            return None
        what = f"the tag {tag[:160]} in YAML: HyperPyYAML reads a file outside the repo"
        return Problem("HC-CFG-003", what, advice="load nothing from there; remove the tag")
    start = next((start for start in _HYPER if tag.startswith(start)), "")
    if not start:
        return None
    module, _, attribute = tag[len(start) :].rpartition(".")
    return _problem(f"the tag {tag}", module or attribute, attribute, start != "!name:", "low")


def _problem(shown: str, module: str, name: str, called: bool, known: Severity) -> Problem:
    """A name that is imported and, mostly, called; ``known``: the severity of one of a known library."""
    path = f"{module}.{name}"
    what = f"{shown[:160]} in YAML: an unsafe loader imports" + (" and calls" if called else "") + " what it names"
    if len(path) > _LONGEST_NAME or is_dangerous(module, name):
        return Problem("HC-CFG-001", what, advice=ADVICE, hostile=True)
    if _is_record(module, name):
        return Problem("HC-CFG-001", what, advice=ADVICE, severity="low", hostile=False)
    own = module.partition(".")[0] in _KNOWN
    reaches = not name[:1].isupper() and _REACHING.search(path) is not None
    if own and not reaches and (known == "low" or name[:1].isupper() or not called):
        return Problem("HC-CFG-001", what, advice=ADVICE, severity=known, hostile=False)
    if not called:
        return Problem("HC-CFG-001", what, advice=ADVICE, severity="medium", hostile=False)
    return Problem("HC-CFG-001", what, advice=ADVICE, hostile=not name[:1].isupper())


def _fetched(pair: Pair) -> Problem | None:
    """An address from which SpeechBrain's Pretrainer fetches weights, which it reads by ``torch.load``."""
    if "paths" not in pair.keys[:-1] or "://" not in pair.value or pair.value.startswith(_HUB):
        return None
    what = f"{pair.keys[-1][:80]} is {pair.value[:160]!r} in YAML: weights are fetched from there"
    return Problem("HC-CFG-003", what, advice=LEAVE)


def _is_record(module: str, name: str) -> bool:
    """Whether a name makes a plain record or number, as pickles may hold it too."""
    if module in ("builtins", "__builtin__"):
        return name in ("set", "frozenset", "complex", "range", "slice", "object")
    if kind_of(module, name, 5) in ("new", "enum", "dict", "made", "type"):
        return True
    return is_allowed(module, name, 5) and module.partition(".")[0] in ("numpy", "collections")


def _target(pair: Pair, spelled: Callable[[], frozenset[str]]) -> Problem | None:
    """Hydra's and Lightning's own record of a run: they call what the owner of a program wrote, if it reads it."""
    key, value = pair.keys[-1], pair.value.strip()
    module, _, name = value.rpartition(".")
    # What a run's own program made of its own classes is in no module that another program has.
    dangerous = bool(name) and module != "__main__" and is_dangerous(module or "builtins", name)
    if "${" in value:  # put together when it is read: of parts that may be anything
        whole = value.startswith("${") and value.endswith("}") and value.count("${") == 1
        dangerous = not whole or names_calls(value) or bool(spelled())
    if key == "class_path" and not dangerous:
        return None
    what = f"{key} is {value[:120]!r} in YAML: what it names is imported and called"
    severity, hostile = target(value)
    if dangerous or "${" in value:
        severity = "high"
    return Problem("HC-CFG-001", what, advice=ADVICE, severity=severity, hostile=dangerous or hostile)


def _spelled(pairs: list[Pair]) -> frozenset[str]:
    """The dangerous names that are spelled out somewhere in a file."""
    rows = {pair.value for pair in pairs if len(pair.value) <= 100 and "." in pair.value}
    return frozenset(row for row in rows if is_dangerous(*row.rpartition(".")[::2]))
