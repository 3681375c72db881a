"""What installed libraries write by default, by the table of fields: ``python -m benchmarks.scan.default_configs``.

Every config class and every image, video and sound processor of transformers with its defaults, and every
``pretrained_cfg`` of timm in a config as ``save_pretrained`` writes it. Prints how many, and how many asks by severity.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

from hubclean.scanning.configs.asking import Place, asks
from hubclean.scanning.configs.renaming import Renaming
from hubclean.scanning.scanners.config_code import walk_config

_PROCESSORS = ("ImageProcessor", "ImageProcessorFast", "ImageProcessorPil", "FeatureExtractor", "VideoProcessor")


def transformers_configs() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every config that can be made without arguments, by its model type."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    for kind in list(CONFIG_MAPPING.keys()):
        try:
            yield kind, CONFIG_MAPPING[kind]().to_dict()
        except Exception:  # two need arguments
            continue


def transformers_processors() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every processor that can be made without arguments, by its class."""
    import transformers

    for name in dir(transformers):
        if name.endswith(_PROCESSORS):
            try:
                yield name, getattr(transformers, name)().to_dict()
            except Exception:  # some need arguments or a package that is not there
                continue


def timm_configs() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every entry of timm's registry as ``timm.models.save_for_hf`` writes it."""
    from timm.models._registry import _model_pretrained_cfgs

    for name, row in _model_pretrained_cfgs.items():
        inner = {key: value for key, value in row.to_dict().items() if value is not None}
        yield (
            name,
            {"architecture": name.partition(".")[0], "model_args": {"drop_path_rate": 0.1}, "pretrained_cfg": inner},
        )


def judged(rows: Iterator[tuple[str, dict[str, Any]]], file: str) -> tuple[int, Counter[str]]:
    """How many configs there are, and how often each severity was asked for."""
    found: Counter[str] = Counter()
    count = 0
    for _, row in rows:
        config = json.loads(json.dumps(row, default=str))
        place = Place(file, renaming=Renaming.of(config))
        found.update(ask.severity for path, value in walk_config(config) for ask in asks(path, value, place))
        count += 1
    return count, found


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    for label, rows, file in (
        ("transformers configs", transformers_configs(), "config.json"),
        ("transformers processors", transformers_processors(), "preprocessor_config.json"),
        ("timm configs", timm_configs(), "config.json"),
    ):
        count, found = judged(rows, file)
        print(f"{label}: {count}, asks: {dict(found) or 'none'}")
