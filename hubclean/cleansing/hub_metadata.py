"""Metadata of a card as the Hub takes them: what it would refuse is mended or left out, and said.

The Hub checks the block when a commit arrives, which is hours after a card was inherited. Its rules, as its errors and
``docs/hub/model-cards`` tell them: languages are ISO 639 codes, data sets and base models are ids, licences are of a
list, and lists hold texts alone (YAML reads ``no`` as false, ``2024`` as a number and an empty item as null).
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Any

from hubclean.cleansing import front_matter
from hubclean.escaping import printable

_ID = re.compile(r"(?:[\w-][\w.-]{0,95}/)?[\w-][\w.-]{0,95}", re.ASCII)
_URL_ID = re.compile(r"https://(?:huggingface\.co|hf\.co)/(?:datasets/|models/)?([\w.-]+/[\w.-]+)/?", re.ASCII)
_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,95}", re.ASCII)
_MOST, _LONGEST = 500, 250  # values of a list, signs of a value
_LICENCES = frozenset(
    [
        *(
            "apache-2.0",
            "mit",
            "openrail",
            "bigscience-openrail-m",
            "creativeml-openrail-m",
            "bigscience-bloom-rail-1.0",
        ),
        *("bigcode-openrail-m", "afl-3.0", "artistic-2.0", "bsl-1.0", "bsd", "bsd-2-clause", "bsd-3-clause"),
        *("bsd-3-clause-clear", "c-uda", "cc", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0"),
        *("cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0"),
        *("cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
        *("cdla-sharing-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "wtfpl", "ecl-2.0", "epl-1.0", "epl-2.0"),
        *("etalab-2.0", "eupl-1.1", "eupl-1.2", "agpl-3.0", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "lgpl", "lgpl-2.1"),
        *(
            "lgpl-3.0",
            "isc",
            "h-research",
            "intel-research",
            "lppl-1.3c",
            "ms-pl",
            "apple-ascl",
            "apple-amlr",
            "mpl-2.0",
        ),
        *(
            "odc-by",
            "odbl",
            "openmdw-1.0",
            "openrail++",
            "osl-3.0",
            "postgresql",
            "ofl-1.1",
            "ncsa",
            "unlicense",
            "zlib",
        ),
        *("pddl", "lgpl-lr", "deepfloyd-if-license", "fair-noncommercial-research-license", "llama2", "llama3"),
        *("llama3.1", "llama3.2", "llama3.3", "llama4", "grok2-community", "gemma", "unknown", "other"),
    ]
)
_SPELLED = {
    **{"apache": "apache-2.0", "apache-2": "apache-2.0", "apache2": "apache-2.0", "apache-license-2.0": "apache-2.0"},
    **{"apache-2.0-license": "apache-2.0", "apache-license-version-2.0": "apache-2.0", "mit-license": "mit"},
    **{"the-mit-license": "mit", "bsd-3": "bsd-3-clause", "bsd-2": "bsd-2-clause", "gplv3": "gpl-3.0"},
    **{"gplv2": "gpl-2.0", "agplv3": "agpl-3.0", "cc0": "cc0-1.0", "cc-by": "cc-by-4.0", "cc-by-nc": "cc-by-nc-4.0"},
    **{"cc-by-sa": "cc-by-sa-4.0", "cc-by-nc-sa": "cc-by-nc-sa-4.0", "gpl-v3": "gpl-3.0"},
}
_LANGUAGES = {
    **{"english": "en", "german": "de", "french": "fr", "spanish": "es", "italian": "it", "portuguese": "pt"},
    **{"dutch": "nl", "chinese": "zh", "japanese": "ja", "korean": "ko", "russian": "ru", "arabic": "ar"},
    **{"hindi": "hi", "polish": "pl", "turkish": "tr", "norwegian": "no", "swedish": "sv", "danish": "da"},
}
_RELATIONS = ("adapter", "merge", "quantized", "finetune")

Notes = list[str]


def inherited(original: str | None) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What a card takes over of the original's metadata: as the Hub takes them, with notes on what was changed.

    Never raises, so that nothing about an inherited card can end a run.
    """
    data, notes = front_matter.read_front_matter(original)
    kept, changed = accepted(data)
    return kept, (*notes, *changed)


def accepted(data: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The metadata that the Hub takes, in the same order, and a sentence for each thing mended or left out.

    Keys that the Hub does not know stay as they are. Never raises.
    """
    notes: Notes = []
    found: dict[str, Any] = {}
    for key, value in data.items():
        if key in _LISTS:
            kept = _list(key, value, _LISTS[key], notes)
        elif key in _SINGLE:
            kept = _SINGLE[key](value)
            if kept is None:
                notes.append(f"{key}: {_shown(value)} is none that the Hub takes, and was left out")
        elif key == "license":
            kept = _licence(value, data, found, notes)
        else:
            kept = value
        if kept is not None:
            found[key] = kept
    return found, tuple(notes)


def of_adapter(tag: Any) -> bool:
    """Whether a tag speaks of an adapter, which a merged checkpoint is not."""
    return not isinstance(tag, str) or tag.lower() in ("peft", "lora", "adapter") or tag.startswith("base_model:")


def joined(theirs: Any, ours: tuple[str, ...]) -> list[str]:
    """Their texts, one or a list, and ours behind, each once."""
    listed = theirs if isinstance(theirs, list) else [theirs]
    return list(dict.fromkeys([*(item for item in listed if isinstance(item, str)), *ours]))


def _list(key: str, value: Any, mend: Callable[[str], str | None], notes: Notes) -> Any:
    """A text or a list of texts; ``None`` where nothing is left."""
    items = value if isinstance(value, list) else [value]
    kept: list[str] = []
    for item in items[:_MOST]:
        text = _text(key, item)
        mended = mend(text) if text and len(text) <= _LONGEST else None
        if mended is None:
            notes.append(f"{key}: {_shown(item)} was left out, the Hub refuses it")
            continue
        if mended != item:
            notes.append(f"{key}: {_shown(item)} is now {_shown(mended)}, as the Hub takes it")
        kept.append(mended)
    if len(items) > _MOST:
        notes.append(f"{key}: only the first {_MOST} of {len(items)} values were kept")
    if not kept:
        return None
    return kept if isinstance(value, list) else kept[0]


def _text(key: str, item: Any) -> str | None:
    """What YAML read as something else was written as this text."""
    if item is False and key == "language":
        return "no"
    if isinstance(item, bool) or item is None:
        return None
    if isinstance(item, (int, float, datetime.date)):
        return str(item)
    return item.strip() if isinstance(item, str) else None


def _language(text: str) -> str | None:
    low = text.lower()
    if re.fullmatch(r"[a-z]{2,3}", low) or low in ("code", "multilingual"):
        return low
    if re.fullmatch(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})+", text):
        return text
    return _LANGUAGES.get(low)


def _repo_id(text: str) -> str | None:
    if found := _URL_ID.fullmatch(text):
        return found[1]
    return text if _ID.fullmatch(text) and ".." not in text else None


def _plain(text: str) -> str | None:
    return text if printable(text, len(text)) == text else None


def _licence(value: Any, data: dict[str, Any], found: dict[str, Any], notes: Notes) -> Any:
    """A known id, or ``other`` with the licence's own name beside it: it is never lost."""
    items = [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str) and item.strip()]
    if not items:
        notes.append(f"license: {_shown(value)} names none, and was left out")
        return None
    known = []
    for item in items:
        slug = re.sub(r"[\s_]+", "-", item.strip().lower())
        slug = _SPELLED.get(slug, slug)
        if slug in _LICENCES:
            known.append(slug)
            if slug != item:
                notes.append(f"license: {_shown(item)} is now {slug!r}, as the Hub spells it")
            continue
        name = re.sub(r"[^a-z0-9._-]+", "-", slug).strip("-.")[:96]
        known.append("other")
        notes.append(f"license: {_shown(item)} is no id of the Hub's list: it is now 'other' with that as its name")
        if "license_name" not in data and _SLUG.fullmatch(name):
            found["license_name"] = name
    known = list(dict.fromkeys(known))
    return known if isinstance(value, list) and len(known) > 1 else known[0]


def _link(value: Any) -> str | None:
    plain = isinstance(value, str) and len(value) <= 2000 and _plain(value) is not None
    return value if plain and re.fullmatch(r"https?://\S+|LICENSE|LICENSE\.md|LICENSE\.txt", value) else None


def _name(value: Any) -> str | None:
    slug = re.sub(r"[\s_]+", "-", value.strip().lower()) if isinstance(value, str) else ""
    return slug if _SLUG.fullmatch(slug) else None


def _of_text(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 2000 else None


def _instance(*kinds: type) -> Callable[[Any], Any]:
    return lambda value: value if isinstance(value, kinds) else None


def _shown(value: Any) -> str:
    return printable(repr(value), 80)


_LISTS: dict[str, Callable[[str], str | None]] = {
    "language": _language,
    "datasets": _repo_id,
    "base_model": _repo_id,
    "metrics": _plain,
    "tags": _plain,
}
_SINGLE: dict[str, Callable[[Any], Any]] = {
    "license_name": _name,
    "license_link": _link,
    "library_name": _of_text,
    "pipeline_tag": _of_text,
    "thumbnail": _of_text,
    "model_name": _of_text,
    "base_model_relation": lambda value: value if value in _RELATIONS else None,
    "inference": _instance(bool, dict),
    "co2_eq_emissions": _instance(int, float, dict),
    "widget": _instance(list),
}
