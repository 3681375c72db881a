"""Pickled checkpoints to safetensors without unpickling: scanned first, written whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from hubclean.errors import FormatError, RefusedError
from hubclean.escaping import printable
from hubclean.hub.repos import Repo, sha256_of
from hubclean.hub.targets import open_target
from hubclean.progress import Progress
from hubclean.records import Conversion, FileHash, Loader, ScanReport, Severity, to_json
from hubclean.scanning.engine import scan
from hubclean.scanning.formats.names import LICENCES, SAFETENSORS_INDEX, is_pickled_weights, suffix
from hubclean.scanning.formats.safetensors_header import read_header_file
from hubclean.scanning.formats.strict_json import JsonProblem, read_json
from hubclean.scanning.formats.torch_to_safetensors import INDEX, main_pickle, parts, to_safetensors
from hubclean.scanning.pickles.state_dict import Sought
from hubclean.scanning.pickles.tensor_names import Architecture, best_fit, first_parts
from hubclean.scanning.policy.baseline import Baseline
from hubclean.scanning.policy.effective import Policy
from hubclean.scanning.refusal import Refusal, refusal_of_files
from hubclean.whole_folder import check_free, whole_folder
from hubclean.wording import call

RECORD = "hubclean/conversion.json"
_LARGEST = 8 << 20  # bytes of a config, as for every loader


@dataclass(frozen=True, slots=True)
class ConvertReport:
    """What was scanned, what lies in ``folder``, how it was made.

    Args:
        folder: ``None`` when nothing was written; ``refused`` says why.
        files: path, size and sha256 of every file written, the record of the conversion not among them.
        policy: what the scan judged by, and where each value came from, where somebody worked it out.
    """

    scan: ScanReport
    folder: str | None
    files: tuple[FileHash, ...] = ()
    conversion: Conversion | None = None
    refused: Refusal | None = None
    policy: Policy | None = None

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
    prefix: str | None = None,
    subfolder: str = "",
    gate: Severity = "high",
    allow: tuple[str, ...] = (),
    allow_unchecked: tuple[str, ...] = (),
    loader: Loader | None = None,
    unknown: bool = False,
    architecture: Callable[[Path], Architecture | None] | None = None,
    progress: Progress | None = None,
    baseline: Baseline | None = None,
) -> ConvertReport:
    """Scan a repo, then write its pickled weights as safetensors, with its configs and licence, into a new folder.

    Of weights that a checkpoint holds more than once, those are taken that the repo's loader takes (timm: the averaged
    copy); a prefix before the names is taken off where the architecture says so. Memory stays near a piece of a tensor:
    bytes are copied from where they lie. What the checkpoint holds besides the weights is left behind and listed in
    ``hubclean/conversion.json``.

    Args:
        target: as for ``engine.scan``.
        out: the folder to write; it appears whole or not at all.
        file: which checkpoint of the repo, where there are several.
        key: where in nested dicts the weights are (``ema.state_dict``); without it they are looked for.
        prefix: what stands before every name of the weights; names without it are left behind. An empty text keeps all
            names as they are, whether a loader knows them or not.
        subfolder: where in the repo the model lies, as of ``from_pretrained``.
        gate, allow, allow_unchecked, loader, baseline: as for ``engine.scan``.
        unknown: convert pickles that hold names outside the list too (whole pickled models), as long as none of them
            is known to run anything: only tensors are read, no class is imported.
        architecture: what the config in a folder builds, if that can be known; without it names are taken as they are.

    Raises:
        RefusedError: there is no pickled checkpoint, or there are several; or there are safetensors already.
        FormatError: the checkpoint cannot be converted faithfully; says why.
        HubcleanError: as for ``engine.scan``.
    """
    repo = open_target(str(target), revision) if isinstance(target, (str, Path)) else target
    check_free(out)
    report = scan(
        repo,
        gate=gate,
        allow=allow,
        allow_unchecked=allow_unchecked,
        loader=loader,
        subfolder=subfolder,
        progress=progress,
        baseline=baseline,
    )
    main = _chosen([entry.path for entry in repo.files()], file, subfolder)
    home = main.rpartition("/")[0]
    carried = [entry.path for entry in repo.files() if _home(entry.path) == home and _goes_along(entry.path)]
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
        built = architecture(partial) if architecture and prefix is None else None
        of_timm = report.load_set.loader == "timm" or _of_timm(partial / "config.json")
        sought = Sought(key, prefix, of_timm, built.names if built else ())
        conversion = to_safetensors(folder, weights, partial, sought, allow, unknown)
        if built:
            _check(partial, conversion, built)
        written = sorted(place for place in partial.iterdir() if place.is_file())
        files = tuple(FileHash(place.name, place.stat().st_size, sha256_of(place)) for place in written)
        (partial / "hubclean").mkdir()
        origin = replace(repo.ref, subfolder=home) if home else repo.ref
        record = {"origin": to_json(origin), "conversion": to_json(conversion), "files": to_json(files)}
        (partial / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return ConvertReport(report, str(out), files, conversion)


def _of_timm(config: Path) -> bool:
    """Whether a config is timm's own, whatever the weights are called."""
    try:
        said = read_json(config.read_bytes())[0] if config.stat().st_size <= _LARGEST else None
    except (OSError, ValueError, JsonProblem):
        return False
    return isinstance(said, dict) and isinstance(said.get("architecture"), str) and "model_type" not in said


def _home(path: str) -> str:
    return path.rpartition("/")[0]


def _check(folder: Path, conversion: Conversion, built: Architecture) -> None:
    """Names that are not the architecture's may be those that its library renames: then, and only then, it loads them.

    Raises:
        FormatError: it cannot; the message says which tensors are missing.
    """
    files = sorted(place.name for place in folder.iterdir() if suffix(place.name) == ".safetensors")
    held = {entry.name for name in files for entry in read_header_file(folder / name).tensors}
    fit = best_fit(held, built.names)
    if fit.complete and not fit.prefix:
        return
    shards = (*files, SAFETENSORS_INDEX) if len(files) > 1 else tuple(files)
    if built.failure is None or not (why := built.failure(folder, shards)):
        return
    left = "; ".join(row for row in conversion.dropped if "tensor" in row)
    raise FormatError(
        f"what was found{f' under {conversion.key!r}' if conversion.key else ''} is not what the config builds: "
        f"{printable(why, 400)}{f' (left behind: {printable(left, 300)})' if left else ''}; "
        f"the names begin: {first_parts(held)}; --prefix '' writes them as they are"
    )


def _chosen(names: list[str], file: str | None, subfolder: str) -> str:
    before = f"{subfolder.strip('/')}/" if subfolder.strip("/") else ""
    if file is not None:
        found = next((name for name in (before + file, file) if name in names), None)
        if found is None:
            raise RefusedError(f"there is no file {printable(file, 100)!r} in the repo")
        return found
    if before:
        names = [name.removeprefix(before) for name in names if name.startswith(before)]
        if not names:
            raise RefusedError(f"there is no folder {printable(subfolder, 100)!r} in the repo")
    there = any(suffix(name) == ".safetensors" for name in names)
    main = main_pickle(names) or ("" if there else _below(names))
    if not main:
        why = "it has safetensors already: hubclean download" if there else "it has no checkpoint in torch's format"
        raise RefusedError(f"nothing to convert: {why}")
    return before + main


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
