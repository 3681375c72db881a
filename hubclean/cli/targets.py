"""Targets as they are named: one by one, in a file, or by a file of the model."""

from __future__ import annotations

from pathlib import Path

MOST_TARGETS = 10_000
_MODEL_CONFIGS = ("config.json", "adapter_config.json", "open_clip_config.json")


def listed_in(place: Path) -> tuple[str, ...]:
    """The targets of a file, without comments and empty lines."""
    from hubclean.errors import OptionError
    from hubclean.escaping import printable

    try:
        lines = place.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise OptionError(f"{printable(str(place))} is not UTF-8 text") from error
    names = tuple(line for line in (line.split(" #")[0].strip() for line in lines) if line and line[0] != "#")
    if not names or len(names) > MOST_TARGETS:
        raise OptionError(f"{printable(str(place))} names {len(names)} targets; 1 to {MOST_TARGETS} are scanned")
    return names


def with_folders(names: tuple[str, ...]) -> tuple[str, ...]:
    """Files replaced by the nearest folder above them that a library would load."""
    from hubclean.hub.repos import LocalRepo
    from hubclean.scanning.engine import reader_of
    from hubclean.scanning.load_sets.choosing import load_set

    known: dict[Path, bool] = {}

    def is_model(folder: Path) -> bool:
        if folder not in known:
            known[folder] = any((folder / name).is_file() for name in _MODEL_CONFIGS)
            if known[folder]:
                repo = LocalRepo(folder)
                known[folder] = load_set(reader_of(repo, repo.files())).loader not in ("all", "torch")
        return known[folder]

    here = Path.cwd()
    found = []
    for name in names:
        place = Path(name)
        above = [folder for folder in place.parents if not place.is_absolute() or folder.is_relative_to(here)]
        folder = next((folder for folder in above if is_model(folder)), None) if place.is_file() else None
        found.append(name if folder is None else str(folder))
    return tuple(dict.fromkeys(found))
