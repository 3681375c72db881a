"""Pickled checkpoints to safetensors without unpickling: scanned first, written whole or not at all."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from hubclean.errors import RefusedError
from hubclean.escaping import printable
from hubclean.hub.repos import Repo, sha256_of
from hubclean.hub.targets import open_target
from hubclean.progress import Progress
from hubclean.records import Conversion, FileHash, Loader, ScanReport, Severity, to_json
from hubclean.scanning.engine import scan
from hubclean.scanning.formats.names import LICENCES, suffix
from hubclean.scanning.formats.torch_to_safetensors import INDEX, main_pickle, parts, to_safetensors
from hubclean.scanning.refusal import Refusal, refusal_of_files
from hubclean.whole_folder import check_free, whole_folder

RECORD = "hubclean/conversion.json"


@dataclass(frozen=True, slots=True)
class ConvertReport:
    """What was scanned, what lies in ``folder``, how it was made.

    Args:
        folder: ``None`` when nothing was written; ``refused`` says why.
        files: path, size and sha256 of every file written, the record of the conversion not among them.
    """

    scan: ScanReport
    folder: str | None
    files: tuple[FileHash, ...] = ()
    conversion: Conversion | None = None
    refused: Refusal | None = None

    @property
    def exit_code(self) -> int:
        """0 converted; 1 refused for a finding that counts; 2 refused because something needed was not checked."""
        return 0 if self.refused is None else 1 if self.refused.finding else 2


def convert(
    target: str | Path | Repo,
    out: Path,
    *,
    revision: str | None = None,
    file: str | None = None,
    key: str | None = None,
    gate: Severity = "high",
    allow: tuple[str, ...] = (),
    allow_unchecked: tuple[str, ...] = (),
    loader: Loader | None = None,
    progress: Progress | None = None,
) -> ConvertReport:
    """Scan a repo, then write its pickled weights as safetensors, with its configs and licence, into a new folder.

    Memory stays near a piece of a tensor: bytes are copied from where they lie. What the checkpoint holds besides the
    weights is left behind and listed in ``hubclean/conversion.json``.

    Args:
        target: as for ``engine.scan``.
        out: the folder to write; it appears whole or not at all.
        file: which checkpoint of the repo, where there are several.
        key: where in nested dicts the weights are (``ema.state_dict``); without it they are looked for.
        gate, allow, allow_unchecked, loader: as for ``engine.scan``.

    Raises:
        RefusedError: there is no pickled checkpoint, or there are several; or there are safetensors already.
        FormatError: the checkpoint cannot be converted faithfully; says why.
        HubcleanError: as for ``engine.scan``.
    """
    repo = open_target(str(target), revision) if isinstance(target, (str, Path)) else target
    check_free(out)
    report = scan(repo, gate=gate, allow=allow, allow_unchecked=allow_unchecked, loader=loader, progress=progress)
    names = [entry.path for entry in repo.files()]
    main = _chosen(names, file)
    carried = [name for name in names if "/" not in name and _goes_along(name)]
    if refused := refusal_of_files(report, [main, *carried]):
        return ConvertReport(report, None, refused=refused)
    weights = parts(repo.fetch([main]), main) if main == INDEX else (main,)
    if refused := refusal_of_files(report, weights):
        return ConvertReport(report, None, refused=refused)
    folder = repo.fetch([*weights, *carried])
    with whole_folder(out) as partial:
        for name in carried:
            shutil.copyfile(folder / name, partial / name)
        conversion = to_safetensors(folder, weights, partial, key, allow)
        written = sorted(place for place in partial.iterdir() if place.is_file())
        files = tuple(FileHash(place.name, place.stat().st_size, sha256_of(place)) for place in written)
        (partial / "hubclean").mkdir()
        record = {"origin": to_json(repo.ref), "conversion": to_json(conversion), "files": to_json(files)}
        (partial / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return ConvertReport(report, str(out), files, conversion)


def _chosen(names: list[str], file: str | None) -> str:
    if file is not None:
        if file not in names:
            raise RefusedError(f"there is no file {printable(file, 100)!r} in the repo")
        return file
    main = main_pickle(names)
    if not main:
        there = any(suffix(name) == ".safetensors" for name in names)
        why = "it has safetensors already: hubclean download" if there else "it has no checkpoint in torch's format"
        raise RefusedError(f"nothing to convert: {why}")
    return main


def _goes_along(name: str) -> bool:
    """Configs, labels and licences, without which the weights are of little use; no index of the pickles, no card."""
    lower = name.lower()
    return (lower.endswith((".json", ".txt")) and lower != INDEX) or lower.split(".")[0] in LICENCES
