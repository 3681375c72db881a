"""Puts what the results say into the pages of docs/results, between their marks; called by ``benchmarks.tables``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs" / "results"
RESULTS = Path(__file__).parent / "results"
TABLES = ("<!-- tables: made by `python -m benchmarks.tables` -->\n", "<!-- end tables -->")
ANSWERS = ("<!-- answers: made by `python -m benchmarks.tables` -->\n", "<!-- end answers -->")
# Which page a section belongs to, by its heading; the first that matches.
PAGES: tuple[tuple[str, str], ...] = (
    (r"The bench|Gates of the specification|Models|Failures", "bench.md"),
    (r"Detection|The one verdict|shared models|end to end", "detection.md"),
    (r"Defenses, |.*: ASR left / points of CA lost|By the number of images|Beside the papers", "defenses.md"),
    (r"Fine-Pruning at", "pruning.md"),
    (r"Federated cleansing", "federated.md"),
    (r"Cost of inverting triggers|Beside trojanzoo|Capturing", "cost.md"),
    (r"Locating", "locating.md"),
    (r"Labels as people", "labels.md"),
    (r"The static scan", "scan.md"),
)


def write(text: str) -> None:
    """Put every section of ``text`` into its page, and the answers into the first one.

    Raises:
        ValueError: a section has no page, or a page no marks.
    """
    for name, made in cut(text).items():
        place = DOCS / name
        place.write_text(between(place.read_text(encoding="utf-8"), made, *TABLES), encoding="utf-8")
    place = DOCS / "index.md"
    place.write_text(between(place.read_text(encoding="utf-8"), "\n".join(answers()), *ANSWERS), encoding="utf-8")


def cut(text: str) -> dict[str, str]:
    """The sections of ``text`` by page; those of the bench are cut once more."""
    pages: dict[str, list[str]] = {}
    for section in re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]:
        parts = re.split(r"^(?=### )", section, flags=re.MULTILINE) if section.startswith("## The bench") else [section]
        for part in parts:
            heading = part.partition("\n")[0].lstrip("# ")
            pages.setdefault(_page(heading), []).append(part.strip())
    return {name: "\n\n".join(parts) for name, parts in pages.items()}


def _page(heading: str) -> str:
    for pattern, name in PAGES:
        if re.match(pattern, heading):
            return name
    raise ValueError(f"no page of docs/results takes the section {heading!r}: add it to PAGES")


def between(text: str, made: str, begin: str, end: str) -> str:
    """``text`` with ``made`` in place of what stands between the two marks."""
    before, first, rest = text.partition(begin)
    _, second, after = rest.partition(end)
    if not first or not second:
        raise ValueError(f"the marks {begin.strip()} and {end.strip()} are not there")
    return before + first + "\n" + made + "\n\n" + second + after


def answers() -> Iterator[str]:
    """What was measured beside the bench: a row a question."""
    corpus, cost, fuzz, locating = (_read(name) for name in ("scan_corpus", "scan", "fuzz", "locate-peers"))
    starting, identity, named = _read("startup")["seconds"], _read("imagenet_identity"), corpus["named"]
    ours, finders, targets = cost["hubclean"], locating["finders"], fuzz["targets"].values()
    clean, unsure, flagged = (
        len(named[key]) for key in ("malicious, clean", "malicious, no verdict", "benign, flagged")
    )
    torch_zip, safe = ours["torch"]["hub"], ours["safetensors"]["hub"]
    yield "| question | answer | tables |"
    yield "|---|---|---|"
    yield (
        f"| What does the scan miss? | Of {corpus['files']} files of other scanners' suites, at hand while it was "
        f"made: {clean} malicious ones are called clean, {unsure} get no verdict, {flagged} benign ones are flagged "
        "| [scan](scan.md#detection-and-false-alarms) |"
    )
    yield (
        f"| What does it cost? | Of {cost['file_bytes']['model.safetensors'] / 1e9:.1f} GB of weights "
        f"{torch_zip['requests']} requests and {torch_zip['bytes']:,} bytes as a torch zip, {safe['requests']} and "
        f"{safe['bytes']:,} as safetensors; at most {max(torch_zip['peak_mb'], safe['peak_mb']):.0f} MB of memory "
        "| [scan](scan.md#cost) |"
    )
    yield (
        f"| Does a parser crash, hang or fill the memory? | {fuzz['executions']:,} coverage-guided runs on "
        f"{len(targets)} targets: {sum(one['crashed'] for one in targets)} crashed | [scan](scan.md#fuzzing) |"
    )
    yield (
        f"| On how many nets are feature map and heads found? | {finders['hubclean']['share']:.1%} of "
        f"{locating['classifiers']:,} classifiers of timm; its own functions find "
        f"""{finders["timm's own"]["share"]:.1%} | [locating](locating.md) |"""
    )
    same = "equal" if identity["bit_for_bit_after_push_and_pull"] else "not equal"
    yield (
        f"| Does a real model keep accuracy and bytes? | ImageNet EfficientNet-Lite0 through `clean --defense none`: "
        f"top-1 {identity['top1']:.1%} (n = {identity['n']}), {identity['facts_top1']:.1%} in its facts; after push "
        f"and pull {same} bit for bit | `benchmarks.imagenet_identity` |"
    )
    yield (
        f"| How long does it take to start? | `hubclean --help` {starting['hubclean --help']:.2f} s, `hubclean scan "
        f"FOLDER` {starting['hubclean scan FOLDER']:.2f} s; `import torch` alone {starting['import torch']:.1f} s "
        "| `benchmarks.startup` |"
    )


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found
