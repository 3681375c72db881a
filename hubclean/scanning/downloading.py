"""Fetches of a scanned repo only what is needed and was judged, every byte checked, whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hubclean.errors import IntegrityError
from hubclean.escaping import printable
from hubclean.hub.repos import Repo, sha256_of
from hubclean.hub.targets import open_target
from hubclean.progress import Progress
from hubclean.records import FileHash, Loader, ScanReport, Severity
from hubclean.scanning.engine import scan
from hubclean.scanning.formats.names import LICENCES, PICKLE_NAMES, is_pickled_weights, suffix
from hubclean.scanning.load_sets.other_files import in_checkpoint
from hubclean.scanning.policy.baseline import Baseline
from hubclean.scanning.policy.effective import Policy
from hubclean.scanning.refusal import Refusal, refusal, unfit
from hubclean.whole_folder import check_free, whole_folder

_TEXTS = (".json", ".txt", ".md", ".jinja", ".yaml", ".yml")
_WEIGHTS = (*PICKLE_NAMES, ".safetensors", ".npz")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file of the repo that was not downloaded, and why."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class DownloadReport:
    """What was scanned, what lies in ``folder``, what was left out.

    Args:
        folder: ``None`` when nothing was downloaded; ``refused`` says why.
        files: path, size and sha256 of every downloaded file, checked against the pinned commit.
        policy: what the scan judged by, and where each value came from, where somebody worked it out.
    """

    scan: ScanReport
    folder: str | None
    files: tuple[FileHash, ...]
    left_out: tuple[LeftOut, ...]
    refused: Refusal | None = None
    policy: Policy | None = None

    @property
    def exit_code(self) -> int:
        """0 downloaded; 1 refused for a finding that counts; 2 refused because something needed was not checked."""
        return 0 if self.refused is None else 1 if self.refused.finding else 2


def download(
    target: str | Path | Repo,
    out: Path | None = None,
    *,
    revision: str | None = None,
    gate: Severity = "high",
    allow: tuple[str, ...] = (),
    allow_unchecked: tuple[str, ...] = (),
    loader: Loader | None = None,
    variant: str | None = None,
    subfolder: str = "",
    progress: Progress | None = None,
    baseline: Baseline | None = None,
) -> DownloadReport:
    """Scan a repo, then fetch what will be loaded of it into a folder that appears whole or not at all.

    That is the load set, with texts that lie beside it, the card and the licence. Safetensors are taken before pickles;
    Python files, other formats, training state and checkpoints are never fetched. Where ``scan`` does not end with 0,
    nothing is.

    Args:
        target: as for ``engine.scan``.
        out: the folder to write; without it, one named like the model in the current folder.
        gate, allow, allow_unchecked, loader, variant, subfolder, baseline: as for ``engine.scan``.

    Raises:
        IntegrityError: a file does not have the size and hash that the pinned commit gives; nothing is kept.
        OutputError: the folder is taken or cannot be written.
        HubcleanError: as for ``engine.scan``.
    """
    repo = open_target(str(target), revision) if isinstance(target, (str, Path)) else target
    out = out or Path(repo.ref.repo_id.rsplit("/", 1)[-1])
    check_free(out)
    report = scan(
        repo,
        gate=gate,
        allow=allow,
        allow_unchecked=allow_unchecked,
        loader=loader,
        variant=variant,
        subfolder=subfolder,
        progress=progress,
        baseline=baseline,
    )
    chosen, left, refused = choose_files(report)
    if refused:
        return DownloadReport(report, None, (), left, refused)
    with whole_folder(out) as partial:
        repo.fetch(chosen, into=partial)
        files = tuple(_checked(repo, partial, path) for path in chosen)
    return DownloadReport(report, str(out), files, left)


def choose_files(report: ScanReport) -> tuple[tuple[str, ...], tuple[LeftOut, ...], Refusal | None]:
    """Paths to fetch, files to leave out, and why the download is refused altogether (``None`` if it is not)."""
    paths = [file.path for file in report.files]
    why = unfit(report, paths)
    needed = {*_weights(report, paths), *(path for path in paths if _goes_along(path))}
    left = tuple(
        LeftOut(path, why[path].why if path in why else "not needed")
        for path in paths
        if path not in needed or path in why
    )
    chosen = tuple(path for path in paths if path in needed and path not in why)
    if refused := refusal(report):
        return chosen, left, refused
    if not any(suffix(path) in _WEIGHTS for path in chosen):
        return chosen, left, Refusal("it holds no weights that hubclean could judge", False)
    return chosen, left, None


def _weights(report: ScanReport, paths: list[str]) -> tuple[str, ...]:
    """What will be loaded; where anybody may load anything, safetensors, else pickles."""
    if report.load_set.loader not in ("all", "torch"):
        return report.load_set.files
    among = [path for path in paths if report.load_set.holds(path)]
    return tuple([path for path in among if suffix(path) == ".safetensors"]) or tuple(filter(is_pickled_weights, among))


def _goes_along(path: str) -> bool:
    """Configs, labels, the card, the licence: texts, but those of a training's checkpoints."""
    return not in_checkpoint(path) and (suffix(path) in _TEXTS or path.lower().split(".")[0] in LICENCES)


def _checked(repo: Repo, folder: Path, path: str) -> FileHash:
    """Hash a file where it now lies; on a Hub it must be what the listing of the pinned commit says."""
    entry, place = next(row for row in repo.files() if row.path == path), folder / path
    if entry.sha256 or entry.blob_id:
        from hubclean.hub.hub_repo import intact

        if not intact(place, entry):
            raise IntegrityError(f"{printable(path)!r} does not have the hash its commit says; nothing was kept")
    return FileHash(path, place.stat().st_size, sha256_of(place))
