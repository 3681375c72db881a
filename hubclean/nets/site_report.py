"""``hubclean site``: what a config says, where feature layer, heads and prunable units are, without weights."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from hubclean.errors import ModelError
from hubclean.hub.repos import LocalRepo, Repo
from hubclean.nets import merging
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.construction import adapters, classifier
from hubclean.nets.construction.classifier import Classifier
from hubclean.nets.cut import features, masks
from hubclean.nets.own_net import described, free_copy
from hubclean.nets.trace import locate, unit_finder
from hubclean.nets.trace.recorder import Trace
from hubclean.nets.trace.units import UnitGroup, last_units
from hubclean.records import ModelFacts, RepoRef, SiteReport

_CONFIGS = ("config.json", "preprocessor_config.json")
_LIMIT = 8 << 20


def survey(repo: Repo, hooks: Path | None = None, base: str | None = None) -> SiteReport:
    """Build the model of ``repo`` from its config files alone and locate feature layer and heads.

    Args:
        hooks: a folder with adapters of the user's own.
        base: what ``repo`` changes where it is an adapter (LoRA); ``None`` takes the one that its config names.

    Raises:
        ModelError: no config, no image classifier, or the site cannot be located.
        RefusedError: the config asks for code of the repo.
    """
    if base is not None or merging.is_adapter(repo):
        folder, _ = merging.merged_folder(repo, merging.base_of(repo, base), weights=False)
        return replace(survey(LocalRepo(folder), hooks), origin=repo.ref)
    present = {entry.path for entry in repo.files()}
    if _CONFIGS[0] not in present:
        raise ModelError(f"{repo.ref} has no config.json, so there is nothing to build a model from (--subfolder?)")
    with tempfile.TemporaryDirectory() as name:
        for path in _CONFIGS:
            if path in present:
                (Path(name) / path).write_bytes(repo.read(path, _LIMIT))
        rows = adapters.load_adapters(hooks)
        model, facts = classifier.build_classifier(Path(name), meta=True, adapters=rows)
        return _report(repo.ref, model.net, facts, rows, locate.recorded(model.net, facts))[0]


def survey_checkpoint(checkpoint: Checkpoint, hooks: Path | None = None) -> SiteReport:
    """The same for loaded weights, with the proof by numbers that zeros in stored tensors do what a hook does.

    Raises:
        ModelError: the site cannot be located, or does not hold on the weights.
    """
    model, facts = checkpoint.model, checkpoint.facts
    assert isinstance(model, Classifier)
    trace = locate.recorded(model.net, facts)
    report, groups = _report(checkpoint.origin, model.net, facts, adapters.load_adapters(hooks), trace)
    return _proved(report, groups, trace, model)


def _proved(report: SiteReport, groups: tuple[UnitGroup, ...], trace: Trace, model: Classifier) -> SiteReport:
    """The report with what two random images show on the weights."""
    facts = report.model
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(2, *facts.input_size, generator=draw).to(next(model.parameters()).device)
    proof = masks.prove_units(model, groups, images)
    worst = max(features.verify_site(model, report.site, images), proof.worst, proof.leak)
    units = tuple(
        replace(row, cut="none", why="zeros in the file do not do what a hook does")
        if row.layer in proof.failed
        else row
        for row in report.units
    )
    good = [group for group in groups if group.name not in proof.failed]
    conv = tuple(group.name for group in last_units(good, trace, report.site))
    return replace(report, units=units, conv=conv, proof=worst if proof.effect or not groups else None)


def survey_module(module: nn.Module, example: Tensor, hooks: Path | None = None) -> SiteReport:
    """The same for any net: ``example`` is a batch ``(n, c, h, w)`` as the net takes it; only its shape counts.

    The net is left as it was. On the meta device nothing is computed, so there is no proof.

    Raises:
        ModelError: it does not run on such a batch, returns no logits, or no head or feature can be found.
    """
    own = free_copy(module)
    facts, trace = described(own, example)
    model = Classifier(own, facts.mean, facts.std).eval()
    origin = RepoRef(type(own).__name__, None, "local")
    report, groups = _report(origin, own, facts, adapters.load_adapters(hooks), trace)
    return report if next(own.parameters()).is_meta else _proved(report, groups, trace, model)


def _report(
    origin: RepoRef, net: nn.Module, facts: ModelFacts, rows: Iterable[adapters.Adapter], trace: Trace
) -> tuple[SiteReport, tuple[UnitGroup, ...]]:
    groups = unit_finder.find_units(trace, net)
    site = locate.locate(net, facts, rows, trace)
    report = SiteReport(
        origin=origin,
        model=replace(facts, parameters=classifier.count_parameters(net)),
        site=site,
        units=tuple(group.summary() for group in groups),
        conv=tuple(group.name for group in last_units(groups, trace, site)),
    )
    return report, groups
