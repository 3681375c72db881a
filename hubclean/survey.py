"""``hubclean site``: what a config says and where feature layer and heads are, on the meta device, without weights."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from hubclean import adapters, models, sites
from hubclean.errors import ModelError
from hubclean.records import SiteReport
from hubclean.repos import Repo

_CONFIGS = ("config.json", "preprocessor_config.json")
_LIMIT = 8 << 20


def survey(repo: Repo, hooks: Path | None = None) -> SiteReport:
    """Build the model of ``repo`` from its config files alone and locate feature layer and heads.

    Args:
        hooks: a folder with adapters of the user's own.

    Raises:
        ModelError: no config, no image classifier, or the site cannot be located.
        RefusedError: the config asks for code of the repo.
    """
    present = {entry.path for entry in repo.files()}
    if _CONFIGS[0] not in present:
        raise ModelError(f"{repo.ref} has no config.json, so there is nothing to build a model from")
    with tempfile.TemporaryDirectory() as name:
        for path in _CONFIGS:
            if path in present:
                (Path(name) / path).write_bytes(repo.read(path, _LIMIT))
        model, facts = models.build(Path(name), meta=True)
        facts = replace(facts, parameters=models.count_parameters(model.net))
        return SiteReport(repo.ref, facts, sites.locate(model, facts, adapters.load(hooks)))
