"""Draws ``hooks/COVERAGE.md`` from ``results/coverage.json``; ``coverage.py`` measures and calls it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hubclean.nets.construction import adapters

TOLERANCE = 1e-5
Row = dict[str, Any]
_HEAD = (
    *("library", "family", "located", "feature map", "conv", "layout"),
    *("layers", "proof on", "worst", "failed", "adapters"),
)
_KEY = (
    "`feature map`: architectures with a map or token sequence that all heads share; feature channels can be cut at",
    "the heads of all. `conv`: those with units for `site=conv`. `layers`: cut where made and read / where made /",
    "where read / gates and attention scores / not. `worst`: largest difference between hook and file on the",
    "instance, relative to its largest logit; `failed`: layers beyond the tolerance.",
)


def table(result: Row) -> str:
    """The table as Markdown."""
    families = result["families"]
    refused = [(row["library"], name, why) for row in families for name, why in row["refused"].items()]
    return "\n".join(
        [
            "# Coverage",
            "",
            *_totals(result, len(refused)),
            "",
            "## Not located, and why",
            "",
            "| library | architecture | reason |",
            "|---|---|---|",
            *[f"| {library} | {name} | {why} |" for library, name, why in refused],
            "",
            "## Adapters",
            "",
            "| adapter | matches | reason |",
            "|---|---|---|",
            *[f"| {one.name} | {one.library}: `{one.match}` | {one.reason} |" for one in adapters.load_adapters()],
            "",
            "## Layers that cannot be cut, and why",
            "",
            "| layers | reason |",
            "|---|---|",
            *[f"| {count:,} | {why} |" for why, count in result["why"].items()],
            "",
            "## Families",
            "",
            *_KEY,
            "",
            f"| {' | '.join(_HEAD)} |",
            "|---" * len(_HEAD) + "|",
            *map(_line, families),
            "",
        ]
    )


def _totals(result: Row, refused: int) -> list[str]:
    families = result["families"]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    proofs = [row["proof"] for row in families if "units" in row["proof"]]
    total = {key: sum(row[key] for row in families) for key in ("count", "located", "captured", "conv")}
    layers: Counter[str] = Counter()
    for row in families:
        layers.update(row["layers"])
    worst = max(max(proof["feature"], proof["units"], proof["reload"]) for proof in proofs)
    failed, tried = sum(len(proof["failed"]) for proof in proofs), sum(proof["tried"] for proof in proofs)
    located, following = result["locate_seconds"], result["unit_seconds"]
    return [
        f"Made by `{result['command']}` ({versions}; {result['processes']} processes, {result['seconds']} s).",
        "",
        f"- **{total['located']} of {total['count']} architectures located**; the other {refused} are listed below "
        f"with their reasons. {total['captured']} have a feature map that all heads share, {total['conv']} have units "
        "for `site=conv`.",
        f"- **Units of whole networks**: of {sum(layers.values()):,} layers before the heads, {layers['both']:,} can "
        f"be cut where they are made and where they are read, {layers['producer']:,} where they are made (most are "
        f"branches of a residual stream), {layers['consumer']:,} where they are read; {layers['gate']:,} are gates or "
        f"attention scores, {layers['none']:,} cannot be cut.",
        f"- **Proved by numbers on {len(proofs)} real instances**, one a family: worst difference {worst:.1e} of the "
        f"largest logit (tolerance {TOLERANCE:.0e}); {failed} of {tried:,} layers failed.",
        f"- **Time on the meta device**: locating {located['median']:.2f} s in the median, {located['worst']:.1f} s at "
        f"worst; following all units {following['median']:.2f} s and {following['worst']:.1f} s.",
    ]


def _line(row: Row) -> str:
    proof, layers = row["proof"], row["layers"]
    done = "units" in proof
    worst = f"{max(proof['feature'], proof['units'], proof['reload']):.0e}" if done else proof.get("error", "-")
    cells = [
        row["library"],
        row["family"],
        f"{row['located']} of {row['count']}",
        str(row["captured"]),
        str(row["conv"]),
        ", ".join(row["layouts"]),
        " / ".join(str(layers.get(side, 0)) for side in ("both", "producer", "consumer", "gate", "none")),
        f"`{proof['name']}`" if "name" in proof else "-",
        worst.replace("|", "/"),
        f"{len(proof['failed'])} of {proof['tried']}" if done else "-",
        ", ".join(row["adapters"]) or "-",
    ]
    return f"| {' | '.join(cells)} |"
