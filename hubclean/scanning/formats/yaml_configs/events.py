"""Tags, keys and values of YAML as a loader sees them: after escapes, folding, directives and aliases of texts.

PyYAML's parser gives events one by one. It is fed only texts that hold a sign which what is looked for cannot do
without; it costs about two microseconds a sign, so that longer texts are not followed.

Source: ``yaml/scanner.py``, ``yaml/parser.py`` and ``yaml/reader.py`` of PyYAML 6 (``parse_node`` resolves tags).
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field

from hubclean.scanning.budget import spend
from hubclean.scanning.named_code import names_calls

LONGEST = 1 << 20  # signs that are followed
DEEPEST = 64
# A tag has an exclamation mark, an escape a backslash; keys are spelled out otherwise.
# MONAI's expressions (``${`` alone is OmegaConf's), and code that YOLO evaluates.
_EVALUATED = re.compile(r"""[:\-\[,"'\s]\$[A-Za-z_@(\[{]|__[a-z]+__|\b(?:eval|exec|compile|getattr)\s*\(""")
# Layers of YOLO, whose arguments are evaluated, and a call in a text among them.
_LAYERS = re.compile(r"^(?:backbone|head)\s*:", re.MULTILINE)
_SIGNS = ("!", "\\", "_target_", "class_path", "chat_template", "_BASE_")


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag in full (``tag:yaml.org,2002:python/name:os.system``), and where its node begins, in signs."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Pair:
    """A text under a key, that of a list under the key of the list; ``keys`` leads to it, outermost first."""

    keys: tuple[str, ...]
    value: str
    at: int


@dataclass(slots=True)
class YamlFile:
    """What was seen, up to where it broke.

    Args:
        broken: why the rest was not followed; empty if all was. stop: where the last thing begins that was, in signs.
    """

    tags: list[Tag] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    broken: str = ""
    stop: int = 0


@dataclass(slots=True)
class _Level:
    """A container that is open: the keys that lead into it; of a mapping, whether a value comes next."""

    keys: tuple[str, ...]
    mapping: bool
    key: str | None = None
    valued: bool = False


def decoded(text: bytes) -> str:
    """YAML as text: UTF-16 with a byte order mark, else UTF-8, as PyYAML takes it.

    Raises:
        UnicodeDecodeError: it is neither.
    """
    wide = text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return text.decode("utf-16" if wide else "utf-8")


def may_ask(text: str) -> bool:
    """Whether there is a sign in it without which no tag, target or template is there."""
    if any(sign in text for sign in _SIGNS) or names_calls(text) or _EVALUATED.search(text) is not None:
        return True
    return "(" in text and _LAYERS.search(text) is not None


def read_yaml(text: str) -> YamlFile:
    """Follow a text of at most ``LONGEST`` signs, of one document or several; what ends it is noted.

    Raises:
        BudgetError: more operations than the file may take.
    """
    # Imported here: most repos have no YAML with such a sign, and the import takes 20 ms.
    import yaml

    file = YamlFile(stop=len(text))
    walk, last = _Walk(file), 0
    spend(len(text) // 4)
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            spend()
            walk.take(event)
            last = event.start_mark.index if event.start_mark else last
            if len(walk.levels) > DEEPEST:
                file.broken, file.stop = f"it is nested deeper than {DEEPEST} levels", last
                break
    except (yaml.YAMLError, ValueError, OverflowError, LookupError, TypeError, AttributeError) as error:
        why = getattr(error, "problem", None) or getattr(error, "reason", None) or type(error).__name__
        file.broken, file.stop = f"PyYAML does not take it: {str(why)[:100]}", last
    return file


class _Walk:
    """Puts the events together: which text stands under which key."""

    def __init__(self, file: YamlFile) -> None:
        self.file = file
        self.levels: list[_Level] = []
        self._texts: dict[str, str] = {}  # by anchor

    def take(self, event: object) -> None:
        kind = type(event).__name__.removesuffix("Event")
        if kind in ("Scalar", "Alias", "SequenceStart", "MappingStart"):
            at = event.start_mark.index  # type: ignore[attr-defined]
            tag, anchor = getattr(event, "tag", None), event.anchor  # type: ignore[attr-defined]
            if tag:
                self.file.tags.append(Tag(tag, at))
            value = self._texts.get(anchor or "") if kind == "Alias" else getattr(event, "value", None)
            if kind == "Scalar" and anchor:
                self._texts[anchor] = str(value)
            keys = self._place(value, at)
            if kind.endswith("Start"):
                self.levels.append(_Level(keys, kind == "MappingStart"))
        elif kind.endswith("End") and kind != "DocumentEnd" and kind != "StreamEnd":
            self.levels.pop()
        elif kind == "DocumentStart":
            self._texts = {}

    def _place(self, value: str | None, at: int) -> tuple[str, ...]:
        """The keys that lead to a node; a text that is a value is noted, one that is a key is remembered."""
        if not self.levels:
            return ()
        level = self.levels[-1]
        if not level.mapping:
            keys = level.keys
        elif not level.valued:
            level.key, level.valued = value, True
            return level.keys
        else:
            keys, level.valued = (*level.keys, level.key or ""), False
        if value is not None and keys:
            self.file.pairs.append(Pair(keys, value, at))
        return keys
