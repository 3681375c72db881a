"""The YAML block at the top of a model card: a stranger's is read within bounds, ours is written so that it holds.

The block is what huggingface_hub's ``RepoCard`` sees: from the first ``---`` line to the next.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from hubclean.escaping import printable

# Two expressions in place of one: a lazy body between two runs of line ends takes cubic time on a card of empty lines.
_HEAD = re.compile(r"\A\ufeff?\s*---[ \t]*[\r\n]+")
_END = re.compile(r"[\r\n]---[ \t]*(?:[\r\n]|\Z)")
_LICENCE = re.compile(r"^(license(?:_name|_link)?)[ \t]*:[ \t]*[\"']?([\w.:/+-]{1,200})[\"']?[ \t]*\r?$", re.M)
_LARGEST, _DEEPEST, _MOST = 64 * 1024, 24, 20_000
# Arguments of ModelCardData: as keys they would break every reader that goes through huggingface_hub.
_RESERVED = frozenset(("self", "ignore_metadata_errors", "eval_results"))


class _Unlinked(yaml.SafeDumper):
    """Writes a value again where it is used twice, instead of an anchor."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def read_front_matter(card: str | None) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The metadata of an untrusted card and notes on what could not be taken over.

    Never raises. Bounds: 64 KiB of YAML, 24 levels, 20,000 values with every alias written out. Of a block beyond
    them or broken, only plain ``license`` lines are taken.
    """
    found = _block(card[: 4 * _LARGEST]) if card else None
    if found is None:
        return {}, ()
    try:
        data = _load(found)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError, AttributeError) as error:
        what = str(error).splitlines()[0] if isinstance(error, _Refused) else "it is not valid YAML"
        licence = dict(_LICENCE.findall(found[:_LARGEST]))
        return licence, (f"the metadata of the original card was left out: {what}",)
    kept = {key: value for key, value in data.items() if _usable(key)}
    lost = len(data) - len(kept)
    return kept, (f"{lost} keys of the original card's metadata are no plain names and were left out",) if lost else ()


def dump_front_matter(data: dict[str, Any]) -> str:
    """The block for ``data`` in the given order, with both ``---`` lines. No value can end it early.

    Raises:
        ValueError: YAML does not give the same data back.
    """
    text = _text(data, unicode=True)
    if any(printable(line, len(line)) != line for line in text.split("\n")):
        text = _text(data, unicode=False)  # something in it is invisible or turns the reading direction
    block = f"---\n{text}---\n"
    found = _block(block)
    if found is None or yaml.safe_load(found) != data:
        raise ValueError("the metadata cannot be written as YAML")
    return block


def _block(text: str) -> str | None:
    """What stands between the two lines, without line ends around it; ``None`` where there is no such block."""
    head = _HEAD.match(text)
    end = head and _END.search(text, head.end())
    return text[head.end() : end.start()].rstrip("\r\n") if head and end else None


def _text(data: dict[str, Any], unicode: bool) -> str:
    return yaml.dump(data, Dumper=_Unlinked, sort_keys=False, allow_unicode=unicode, width=10**6)


class _Refused(ValueError):
    """A block that is beyond the bounds; the message says which."""


def _load(text: str) -> dict[str, Any]:
    if len(text) > _LARGEST:
        raise _Refused(f"it is larger than {_LARGEST // 1024} KiB")
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        opens, closes = isinstance(event, yaml.CollectionStartEvent), isinstance(event, yaml.CollectionEndEvent)
        depth += opens - closes
        if depth > _DEEPEST:
            raise _Refused(f"it is nested deeper than {_DEEPEST} levels")
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if node is not None and _size(node, {}) > _MOST:
        raise _Refused(f"it holds more than {_MOST} values")
    data = yaml.safe_load(text)
    if not isinstance(data, dict):
        raise _Refused("it is no mapping")
    dump_front_matter(data)
    return data


def _size(node: yaml.Node, sizes: dict[int, int]) -> int:
    """Values below ``node`` with every alias written out; a node inside itself counts as too many."""
    if id(node) in sizes:
        return sizes[id(node)]
    sizes[id(node)] = _MOST + 1
    below: list[yaml.Node] = []
    if isinstance(node, yaml.SequenceNode):
        below = list(node.value)
    elif isinstance(node, yaml.MappingNode):
        below = [part for pair in node.value for part in pair]
    sizes[id(node)] = 1 + sum(_size(part, sizes) for part in below)
    return sizes[id(node)]


def _usable(key: Any) -> bool:
    return isinstance(key, str) and key not in _RESERVED and re.fullmatch(r"[\w.\- ]{1,100}", key) is not None
