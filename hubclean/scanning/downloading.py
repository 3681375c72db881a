"""Fetches of a scanned repo only what is needed and was judged, every byte checked, whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hubclean.errors import IntegrityError
from hubclean.escaping import printable
from hubclean.hub.repos import Repo, sha256_of
from hubclean.hub.targets import open_target
from hubclean.progress import Progress
from hubclean.records import FileHash, ScanReport, Severity
from hubclean.scanning.engine import scan
from hubclean.scanning.formats.names import LICENCES, is_pickled_weights, suffix
from hubclean.scanning.refusal import Refusal, refusal, unfit
from hubclean.whole_folder import check_free, whole_folder

_TEXTS = (".json", ".txt", ".md", ".jinja", ".yaml", ".yml")


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
    """

    scan: ScanReport
    folder: str | None
    files: tuple[FileHash, ...]
    left_out: tuple[LeftOut, ...]
    refused: Refusal | None = None

    @property
    def exit_code(self) -> int:
        """0 downloaded; 1 refused for a finding at the gate; 2 refused because something needed was not checked."""
        return 0 if self.refused is None else 1 if self.refused.finding else 2


def download(
    target: str | Path | Repo,
    out: Path | None = None,
    *,
    revision: str | None = None,
    gate: Severity = "high",
    allow: tuple[str, ...] = (),
    progress: Progress | None = None,
) -> DownloadReport:
    """Scan a repo, then fetch its weights, configs and texts into a folder that appears whole or not at all.

    Safetensors are taken before pickles; Python files, other formats and training state are never fetched. A file at
    the root of the repo that is needed but unchecked, or has a finding at the gate, refuses the whole download.

    Args:
        target: as for ``engine.scan``.
        out: the folder to write; without it, one named like the model in the current folder.
        gate, allow: as for ``engine.scan``.

    Raises:
        IntegrityError: a file does not have the size and hash that the pinned commit gives; nothing is kept.
        OutputError: the folder is taken or cannot be written.
        HubcleanError: as for ``engine.scan``.
    """
    repo = open_target(str(target), revision) if isinstance(target, (str, Path)) else target
    out = out or Path(repo.ref.repo_id.rsplit("/", 1)[-1])
    check_free(out)
    report = scan(repo, gate=gate, allow=allow, progress=progress)
    chosen, left, refused = choose_files(report)
    if refused:
        return DownloadReport(report, None, (), left, refused)
    with whole_folder(out) as partial:
        repo.fetch(chosen, into=partial)
        files = tuple(_checked(repo, partial, path) for path in chosen)
    return DownloadReport(report, str(out), files, left)


def choose_files(report: ScanReport) -> tuple[tuple[str, ...], tuple[LeftOut, ...], Refusal | None]:
    """Paths to fetch, files to leave out, and why the download is refused altogether (``None`` if it is not)."""
    why = unfit(report)
    paths = [file.path for file in report.files]
    weights = [path for path in paths if suffix(path) == ".safetensors"]
    weights = weights or [path for path in paths if is_pickled_weights(path)]
    texts = [path for path in paths if suffix(path) in _TEXTS or path.lower().split(".")[0] in LICENCES]
    needed = sorted({*weights, *texts})
    left = [
        LeftOut(path, why[path].why if path in why else "not needed")
        for path in paths
        if path not in needed or path in why
    ]
    chosen = tuple(path for path in needed if path not in why)
    if refused := refusal(report, [path for path in needed if "/" not in path]):
        return chosen, tuple(left), refused
    if not any(path in weights for path in chosen):
        return chosen, tuple(left), Refusal("it holds no weights that hubclean could judge", False)
    return chosen, tuple(left), None


def _checked(repo: Repo, folder: Path, path: str) -> FileHash:
    """Hash a file where it now lies; on a Hub it must be what the listing of the pinned commit says."""
    entry, place = next(row for row in repo.files() if row.path == path), folder / path
    if entry.sha256 or entry.blob_id:
        from hubclean.hub.hub_repo import intact

        if not intact(place, entry):
            raise IntegrityError(f"{printable(path)!r} does not have the hash its commit says; nothing was kept")
    return FileHash(path, place.stat().st_size, sha256_of(place))
