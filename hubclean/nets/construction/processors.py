"""The image processor of a transformers repo, built by the library from checked JSON, never from code of the repo."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hubclean.errors import HubcleanError, ModelError
from hubclean.escaping import printable
from hubclean.nets.construction import configs

PROCESSOR = "preprocessor_config.json"


def has_processor(folder: Path) -> bool:
    """Whether a folder says how pictures come in."""
    return (folder / PROCESSOR).is_file()


def processor(folder: Path) -> Any:
    """The repo's image processor; where it has none, the one that transformers has for its kind of model.

    Raises:
        ModelError: it cannot be built.
    """
    from transformers import AutoImageProcessor

    if not has_processor(folder):
        return default_processor(folder)
    settings = configs.read_configs(folder, PROCESSOR)
    configs.check_sizes(settings, PROCESSOR)
    try:
        checked = {PROCESSOR: settings, "config.json": configs.read_configs(folder)}
        with clean_room(folder, (), checked) as room:
            return AutoImageProcessor.from_pretrained(room, trust_remote_code=False, local_files_only=True)
    except HubcleanError:
        raise
    except Exception as error:
        raise ModelError(f"{PROCESSOR} makes no image processor: {printable(str(error), 300)}") from error


def default_processor(folder: Path) -> Any:
    """The processor that transformers has for the kind of model, at the size that its config says.

    Raises:
        ModelError: it has none that could be made so.
    """
    import transformers
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES as mapping

    config = configs.read_configs(folder)
    names = mapping.get(str(config.get("model_type")), ())
    names = tuple(names.values()) if isinstance(names, dict) else (names,) if isinstance(names, str) else names
    name = next((name for name in names if name and hasattr(transformers, name)), None)
    side = config.get("image_size", (config.get("vision_config") or {}).get("image_size"))
    if name is None:
        raise ModelError(f"the repo has no {PROCESSOR}, and transformers has no image processor for its kind of model")
    try:
        made = getattr(transformers, name)()
        if isinstance(side, int) and 0 < side <= configs.MAX_PIXELS:
            square = {"height": side, "width": side}
            crop = {"crop_size": square} if getattr(made, "crop_size", None) else {}
            short = "shortest_edge" in (getattr(made, "size", None) or {})
            made = getattr(transformers, name)(size={"shortest_edge": side} if short else square, **crop)
    except Exception as error:
        raise ModelError(f"the repo has no {PROCESSOR}, and {name} cannot be made without: {error}") from error
    return made


def assumed(processor: Any) -> str:
    """That a default was taken, in words."""
    return f"{PROCESSOR} is missing: taken is what transformers has for the kind of model ({type(processor).__name__})"


@contextlib.contextmanager
def clean_room(folder: Path, names: tuple[str, ...], checked: dict[str, dict[str, Any]]) -> Iterator[Path]:
    """A folder with nothing but links to the files named, so that a library finds no adapter, code or pickle beside.

    Args:
        checked: configs as ``read_configs`` gave them, by the names under which the library finds them.
    """
    with tempfile.TemporaryDirectory(prefix="hubclean-") as place:
        for name, settings in checked.items():
            (Path(place) / name).write_text(json.dumps(settings), encoding="utf-8")
        for name in names:
            target = Path(place) / name
            try:
                target.symlink_to((folder / name).resolve())
            except OSError:  # no links on this file system
                shutil.copyfile(folder / name, target)
        yield Path(place)
