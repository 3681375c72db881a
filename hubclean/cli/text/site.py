"""What ``site`` prints: feature layer, heads, units, preprocessing."""

from __future__ import annotations

from hubclean.cli.text.layout import columns
from hubclean.escaping import printable
from hubclean.records import FeatureSite, ModelFacts, SiteReport, UnitSummary

_SIDES = {"both": "where made and where read", "producer": "where made", "consumer": "where read"}


_WORDS = {
    "pool": "pooling",
    "norm": "pooling and a norm; channels are cut after the norm",
    "hidden": "a hidden layer; channels are its outputs",
    "flatten": "flattening; a channel is a block of head columns",
    "token": "a token that is picked out",
}


def render_site(report: SiteReport) -> str:
    """Feature layer, layout, channels, heads, input size and normalisation of one model."""
    lines = [printable(report.origin.said, 300), *_model(report.model), *_site(report.site), *_units(report)]
    if report.proof is not None:
        lines.append(f"zeros in the file do what a hook does: worst difference {report.proof:.1e} of the largest logit")
    return "\n".join(lines)


def _units(report: SiteReport) -> list[str]:
    """Prunable units of the whole network, layers of the same kind on one line; reasons with an example."""
    kinds: dict[tuple[str, str], list[UnitSummary]] = {}
    for unit in report.units:
        side = _SIDES[unit.cut] if unit.cut != "none" else f"no: {_reason(unit)}"
        kinds.setdefault((unit.kind, side + (" (residual branch)" if unit.residual else "")), []).append(unit)
    rows = [
        [f"{kind} x {len(units)}", f"{sum(unit.count for unit in units):,} units", side, printable(units[-1].layer, 60)]
        for (kind, side), units in sorted(kinds.items(), key=lambda item: (item[0][1].startswith("no"), item[0]))
    ]
    named = ", ".join(printable(name, 80) for name in report.conv) or "none"
    heading = "units of the whole network: layers, units, cut in the file, last example"
    return [columns([["site=conv".ljust(13), named]]), heading, columns(rows)] if rows else []


def _reason(unit: UnitSummary) -> str:
    if unit.kind == "gate":
        return "a zero there is no zero where it is used"
    return printable(unit.why.partition(" in '")[0].partition("'")[0] or unit.why, 70)


def _model(facts: ModelFacts) -> list[str]:
    channels, height, width = facts.input_size
    cut = f", made square, in patches of {facts.patch}" if facts.patch else ""
    labels = ", ".join(printable(name, 24) for name in facts.labels[:4]) + (", …" if len(facts.labels) > 4 else "")
    numbers = [", ".join(f"{value:.4g}" for value in values) for values in (facts.mean, facts.std)]
    rows = [
        ["architecture", f"{printable(facts.architecture)} ({facts.library}), {facts.parameters:,} parameters"],
        ["input", f"{channels} x {height} x {width}, {printable(facts.interpolation)}, crop {facts.crop:g}{cut}"],
        ["normalisation", f"mean {numbers[0]}; std {numbers[1]}"],
        ["labels", f"{len(facts.labels)}: {labels}"],
        *(["assumed", printable(what, 300)] for what in facts.assumed),
    ]
    return [columns(rows)]


def _site(site: FeatureSite) -> list[str]:
    shape = " x ".join(map(str, site.shape))
    count = site.prefix_tokens
    tokens = f", {count} prefix token{'s' * (count > 1)}" if count else ""
    rows = [
        ["feature layer", f"{printable(site.feature, 60) or '(none before the head)'}: {site.layout} {shape}{tokens}"],
        ["channels", f"{site.channels} prunable" + (f", {site.block} head columns each" if site.block > 1 else "")],
        ["in between", _WORDS.get(site.between, site.between)],
    ]
    rows += [
        ["head", f"{printable(head.path, 60)}: {head.kind} {head.in_features} -> {head.out_features}"]
        for head in site.heads
    ]
    return [columns([*rows, ["located by", printable(site.adapter, 60)]])]
