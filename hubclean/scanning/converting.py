"""Pickled checkpoints to safetensors without unpickling: scanned first, written whole or not at all."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from hubclean.errors import RefusedError
from hubclean.escaping import printable
from hubclean.hub.repos import Repo, sha256_of
from hubclean.hub.targets import open_target
from hubclean.progress import Progress
from hubclean.records import Conversion, FileHash, Loader, ScanReport, Severity, to_json
from hubclean.scanning.engine import scan
from hubclean.scanning.formats.names import LICENCES, is_pickled_weights, suffix
from hubclean.scanning.formats.torch_to_safetensors import INDEX, main_pickle, parts, to_safetensors
from hubclean.scanning.refusal import Refusal, refusal_of_files
from hubclean.whole_folder import check_free, whole_folder
from hubclean.wording import call

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
    unknown: bool = False,
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
        unknown: convert pickles that hold names outside the list too (whole pickled models), as long as none of them
            is known to run anything: only tensors are read, no class is imported.

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
    home = main.rpartition("/")[0]
    carried = [name for name in names if name.rpartition("/")[0] == home and _goes_along(name)]
    judged = _without_names(report) if unknown else report
    if refused := refusal_of_files(judged, [main, *carried]):
        return ConvertReport(report, None, refused=refused)
    weights = parts(repo.fetch([main]), main) if main.endswith(INDEX) else (main,)
    if refused := refusal_of_files(judged, weights):
        return ConvertReport(report, None, refused=refused)
    folder = repo.fetch([*weights, *carried])
    with whole_folder(out) as partial:
        for name in carried:
            shutil.copyfile(folder / name, partial / name.rpartition("/")[2])
        conversion = to_safetensors(folder, weights, partial, key, allow, unknown)
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
    there = any(suffix(name) == ".safetensors" for name in names)
    main = main_pickle(names) or ("" if there else _below(names))
    if not main:
        why = "it has safetensors already: hubclean download" if there else "it has no checkpoint in torch's format"
        raise RefusedError(f"nothing to convert: {why}")
    return main


def _below(names: list[str]) -> str:
    """The one checkpoint in a subfolder, of a repo that has none at its root."""
    folders = {name.rpartition("/")[0] for name in names if "/" in name and is_pickled_weights(name)}
    if len(folders) > 1:
        shown = ", ".join(printable(name, 60) for name in sorted(folders)[:5])
        raise RefusedError(f"{len(folders)} folders hold checkpoints ({shown}): {call('convert', 'file')} takes one")
    home = next(iter(folders), "")
    inside = [name.removeprefix(f"{home}/") for name in names if name.rpartition("/")[0] == home]
    return f"{home}/{main_pickle(inside)}" if home else ""


def _without_names(report: ScanReport) -> ScanReport:
    """The report without the findings on unknown names; which of them may pass is judged again with the tensors."""
    return replace(report, findings=tuple(row for row in report.findings if row.rule != "HC-PKL-002"))


def _goes_along(name: str) -> bool:
    """Configs, labels and licences, without which the weights are of little use; no index of the pickles, no card."""
    lower = name.rpartition("/")[2].lower()
    return (lower.endswith((".json", ".txt")) and lower != INDEX) or lower.split(".")[0] in LICENCES
