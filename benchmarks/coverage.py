"""Tries every classifier of the catalogue and draws ``hooks/COVERAGE.md``: located, cut, proved, or why not.

    make coverage          # python -m benchmarks.coverage, about ten minutes on two cores

Every entry is built on the meta device, located, and its units are followed. One real instance of every family with
random weights goes through the proof by numbers: head of the captured feature is the logits; zeros in stored tensors do
what a hook does, for the feature channels and for one unit of every layer; logits do not depend on what is cut; saved
to safetensors and reloaded by the library itself, the logits are the same; hooks are gone after an error.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tempfile
import time
import warnings
from collections import Counter, OrderedDict
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from benchmarks import coverage_table
from benchmarks.catalogue import Entry, entries, smallest
from hubclean.errors import HubcleanError
from hubclean.nets.construction import adapters, classifier
from hubclean.nets.construction.classifier import Classifier, logits_of
from hubclean.nets.cut import features, masks
from hubclean.nets.trace import locate, unit_finder, units
from hubclean.nets.trace.units import UnitGroup
from hubclean.records import FeatureSite

HERE = Path(__file__).parent
TABLE, RESULTS = HERE.parent / "hooks" / "COVERAGE.md", HERE / "results" / "coverage.json"
TOLERANCE = coverage_table.TOLERANCE
Row = dict[str, Any]


def survey(entry: Entry) -> Row:
    """Locate one entry on the meta device: feature layer, heads, units; ``error`` says why not."""
    row: Row = {"library": entry.library, "family": entry.family, "name": entry.name}
    if entry.refused:
        return row | {"refused": entry.refused}
    try:
        model, facts = entry.build(meta=True)
        start = time.perf_counter()
        trace = locate.recorded(model, facts)
        site = locate.locate(model, facts, adapters.load_adapters(), trace)
        middle = time.perf_counter()
        groups = unit_finder.find_units(trace, model)
        conv = units.last_units(groups, trace, site)
    except HubcleanError as error:
        return row | {"error": str(error)}
    return row | {
        "adapter": site.adapter,
        "feature": site.feature,
        "layout": site.layout,
        "between": site.between,
        "channels": site.channels,
        "heads": len(site.heads),
        "conv": [group.name for group in conv],
        "conv_kinds": sorted({group.kind for group in conv}),
        "cuts": dict(Counter("gate" if group.kind == "gate" else group.cut for group in groups)),
        "why": dict(Counter(group.why for group in groups if group.cut == "none" and group.kind != "gate")),
        "locate_seconds": round(middle - start, 4),
        "unit_seconds": round(time.perf_counter() - middle, 4),
    }


def prove(entry: Entry) -> Row:
    """The proof by numbers on one real instance with random weights; every difference relative to the largest logit."""
    start, row = time.perf_counter(), {"library": entry.library, "family": entry.family, "name": entry.name}
    net, facts = entry.build(meta=False, tiny=True)
    count = facts.input_size[0]
    model = Classifier(net, (0.5,) * count, (0.25,) * count, facts.patch).eval().requires_grad_(False)
    images = torch.rand(2, *facts.input_size, generator=torch.Generator().manual_seed(0))
    try:
        trace = locate.recorded(net, facts)
        site = locate.locate(net, facts, adapters.load_adapters(), trace)
        groups = unit_finder.find_units(trace, net)
        feature, leak = features.verify_site(model, site, images), feature_leak(model, site, images)
        proof = masks.prove_units(model, groups, images)
        good = [group for group in groups if group.name not in proof.failed]
        conv = units.last_units(good, trace, site)
        unhooked = hooks_and_modes(model, site, good, images)
        with torch.no_grad():
            reloaded = after_reload(entry, model, site, conv, images)
    except HubcleanError as error:
        return row | {"error": str(error)}
    return row | {
        "adapter": site.adapter,
        "feature": max(feature, leak),
        "units": max(proof.worst, proof.leak),
        "effect": proof.effect,
        "tried": sum(group.cut != "none" for group in groups),
        "failed": list(proof.failed),
        "reload": reloaded,
        "unhooked": unhooked,
        "seconds": round(time.perf_counter() - start, 2),
    }


@torch.no_grad()
def feature_leak(model: Classifier, site: FeatureSite, images: Tensor) -> float:
    """Change of the logits when a cut feature channel is disturbed by 1 at every head."""
    dead = torch.tensor([site.channels // 2])
    hidden = features.dead_mask(model, site, dead)
    kept = {name: model.get_parameter(name).clone() for name in hidden}
    features.zero_channels(model, site, dead)
    quiet, handles = model(images), []
    for head in site.heads:
        entries_off = hidden[f"net.{head.weight}"].flatten(1).any(0)

        def disturb(module: nn.Module, args: tuple[Tensor, ...], off: Tensor = entries_off) -> tuple[Tensor, ...]:
            return (args[0] + (off.view(1, -1, 1, 1) if args[0].ndim == 4 else off).to(args[0]), *args[1:])

        handles.append(model.net.get_submodule(head.path).register_forward_pre_hook(disturb))
    loud = model(images)
    for handle in handles:
        handle.remove()
    for name, weight in kept.items():
        model.get_parameter(name).copy_(weight)
    return float((loud - quiet).abs().max() / quiet.abs().max())


def hooks_and_modes(model: Classifier, site: FeatureSite, groups: Iterable[UnitGroup], images: Tensor) -> bool:
    """Whether hooks are gone and modes as before after an error inside a capture and a masked forward."""
    able = [group for group in groups if group.cut != "none"]
    modes = [module.training for module in model.modules()]
    try:
        with features.capture(model, site), masks.masked(model, able, [torch.ones(group.count) for group in able]):
            model(images[:, :, :3, :1].repeat(1, 2, 1, 1))
    except Exception:  # twice the channels: some layer raises something
        hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
        return hooks == 0 and modes == [module.training for module in model.modules()]
    return False


def after_reload(
    entry: Entry, model: Classifier, site: FeatureSite, conv: tuple[UnitGroup, ...], images: Tensor
) -> float:
    """Cut a channel and a unit, save to safetensors, reload with the library alone; difference of the logits."""
    features.zero_channels(model, site, torch.tensor([0]))
    masks.cut_units(model, conv, {group.name: torch.tensor([0]) for group in conv})
    expected = model(images)
    with tempfile.TemporaryDirectory() as name:
        if entry.library == "transformers":
            model.net.save_pretrained(name)
            again = type(model.net).from_pretrained(name).eval()
        else:
            file = Path(name) / "model.safetensors"
            save_file({key: value.clone().contiguous() for key, value in model.net.state_dict().items()}, file)
            again, _ = entry.build(meta=False, tiny=True)
            state = OrderedDict(load_file(file))
            state._metadata = model.net.state_dict()._metadata  # type: ignore[attr-defined]  # MNASNet asks for a version
            again.load_state_dict(state)
        found = logits_of(classifier.net_output(again, (images - model.mean) / model.std, model.patch))
    return float((found - expected).abs().max() / expected.abs().max())


def guarded(task: str, entry: Entry) -> Row:
    """A task in a worker process: one thread, no warnings, any exception as text."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    try:
        return survey(entry) if task == "survey" else prove(entry)
    except Exception as error:  # a broken entry must not end the run
        return {"library": entry.library, "family": entry.family, "name": entry.name, "error": repr(error)[:500]}


def run(task: str, todo: tuple[Entry, ...], processes: int) -> list[Row]:
    """All entries through one task, in several processes, progress on stderr."""
    rows: list[Row] = []
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for row in pool.map(guarded, [task] * len(todo), todo, chunksize=4 if task == "survey" else 1):
            rows.append(row)
            print(f"\r{task} {len(rows)} of {len(todo)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--table-only", action="store_true", help="draw the table from the results that are there")
    chosen = parser.parse_args()
    if not chosen.table_only:
        RESULTS.write_text(json.dumps(measured(chosen.processes), indent=1) + "\n")
    TABLE.write_text(coverage_table.table(json.loads(RESULTS.read_text())))


def measured(processes: int) -> Row:
    """Both tasks over the whole catalogue, as one small record: a row a family."""
    import timm
    import torchvision
    import transformers

    start = time.perf_counter()
    surveyed, proved = run("survey", entries(), processes), run("prove", smallest(), processes)
    times = [row["locate_seconds"] for row in surveyed if "locate_seconds" in row]
    following = [row["unit_seconds"] for row in surveyed if "unit_seconds" in row]
    proofs = {(row["library"], row["family"]): row for row in proved}
    families = sorted({(row["library"], row["family"]) for row in surveyed})
    return {
        "command": "make coverage",
        "versions": {m.__name__: m.__version__ for m in (timm, transformers, torchvision, torch)},
        "processes": processes,
        "seconds": round(time.perf_counter() - start),
        "locate_seconds": {"median": statistics.median(times), "worst": max(times)},
        "unit_seconds": {"median": statistics.median(following), "worst": max(following)},
        "why": reasons(surveyed),
        "families": [family_row(surveyed, proofs.get(key, {}), *key) for key in families],
    }


def reasons(surveyed: list[Row]) -> dict[str, int]:
    """How many layers cannot be cut for which reason, most first; names of modules are left out."""
    counts: Counter[str] = Counter()
    for row in surveyed:
        for why, count in row.get("why", {}).items():
            counts[re.sub(r"'[^']*'", "a layer", why)] += count
    return dict(counts.most_common(20))


def family_row(surveyed: list[Row], proof: Row, library: str, family: str) -> Row:
    """Counts of one family, and the proof of its cheapest member."""
    rows = [row for row in surveyed if (row["library"], row["family"]) == (library, family)]
    located = [row for row in rows if "layout" in row]
    cuts: Counter[str] = Counter()
    for row in located:
        cuts.update(row["cuts"])
    return {
        "library": library,
        "family": family,
        "count": len(rows),
        "located": len(located),
        "captured": sum(bool(row["feature"]) for row in located),
        "conv": sum(bool(row["conv"]) for row in located),
        "layouts": sorted({row["layout"] for row in located}),
        "kinds": sorted({kind for row in located for kind in row["conv_kinds"]}),
        "layers": dict(cuts),
        "adapters": sorted({row["adapter"] for row in located} - {"generic"}),
        "refused": {row["name"]: row.get("refused", row.get("error")) for row in rows if "layout" not in row},
        "proof": {key: value for key, value in proof.items() if key not in ("library", "family", "adapter")},
    }


if __name__ == "__main__":
    main()
