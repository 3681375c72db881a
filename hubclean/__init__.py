"""Scan, cleanse and republish image classifiers of the Hugging Face Hub.

``scan`` and ``push`` need the base install; ``clean`` and ``site`` need ``hubclean[models]``. Nothing heavy is imported
before it is needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubclean.version import __version__ as __version__

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hubclean.cleansing.pipeline import CleanResult
    from hubclean.hub.publish import PushReport
    from hubclean.hub.repos import Repo
    from hubclean.methods.runtime_filter import FilteredClassifier
    from hubclean.nets.checkpoint import Checkpoint
    from hubclean.nets.session import Session
    from hubclean.records import ScanReport, SiteReport
    from hubclean.scanning.converting import ConvertReport
    from hubclean.scanning.downloading import DownloadReport
    from hubclean.scanning.guard.guard import Guard

__all__ = ["__version__", "clean", "convert", "download", "guard", "load_guarded", "locate", "push", "scan", "site"]


def scan(
    target: str | Path,
    *,
    revision: str | None = None,
    deep: bool = False,
    data: str | Path | None = None,
    **options: Any,
) -> ScanReport:
    """Scan a repo before its weights are downloaded; with ``deep``, run backdoor detectors afterwards.

    Args:
        target: ``org/model``, ``org/model@rev``, a Hub URL, a local folder, or one file.
        data: images for ``deep``.
        options: ``gate``, ``allow``, ``allow_unchecked`` of ``engine.scan``; with ``deep`` also ``session`` and the
            fields of ``deep.DeepOptions``.

    Returns:
        The report; ``report.exit_code`` is that of the command.

    Raises:
        HubcleanError: the target could not be scanned.
    """
    from hubclean.hub.targets import open_target
    from hubclean.scanning import engine

    repo = open_target(str(target), revision)
    static = {key: options.pop(key) for key in ("gate", "allow", "allow_unchecked", "progress") if key in options}
    report = engine.scan(repo, **static)
    if not deep:
        if options:
            raise TypeError(f"scan() got unexpected options {sorted(options)}; detector options need deep=True")
        return report
    from hubclean.cleansing.deep import DeepOptions, deep_scan
    from hubclean.nets.session import open_session

    session = options.pop("session", None) or open_session()
    return deep_scan(repo, report, session, None if data is None else str(data), DeepOptions(**options))[0]


def download(target: str | Path, out: str | Path | None = None, **options: Any) -> DownloadReport:
    """Scan a repo, then fetch what is needed and was judged (see ``downloading.download`` for the options)."""
    from hubclean.scanning.downloading import download as run

    return run(target, None if out is None else Path(out), **options)


def convert(target: str | Path, out: str | Path, **options: Any) -> ConvertReport:
    """Write pickled weights as safetensors, unpickling nothing (see ``converting.convert`` for the options)."""
    from hubclean.scanning.converting import convert as run

    return run(target, Path(out), **options)


def guard(**options: Any) -> Guard:
    """``with hubclean.guard():`` downloads of ``huggingface_hub``, timm and transformers scan first and refuse.

    Args:
        options: ``gate``, ``allow``, ``allow_unchecked``, ``unscanned``, ``on_report``: the fields of
            ``options.GuardOptions``. See ``guard.Guard`` for what is guarded and what cannot be.

    Raises:
        OptionError: an option that there is not, or a value it cannot have.
    """
    from hubclean.errors import OptionError
    from hubclean.scanning.guard.guard import Guard
    from hubclean.scanning.guard.options import GuardOptions

    if odd := sorted(options.keys() - GuardOptions.__dataclass_fields__.keys()):
        raise OptionError(
            f"a guard has no option {odd[0]!r}; there are: {', '.join(GuardOptions.__dataclass_fields__)}"
        )
    return Guard(GuardOptions(**options))


def site(target: str | Path, *, revision: str | None = None, hooks: Path | None = None) -> SiteReport:
    """Where the feature layer and the heads of a model are, from its config alone (see ``site_report.survey``)."""
    from hubclean.hub.targets import open_target
    from hubclean.nets.site_report import survey

    return survey(open_target(str(target), revision), hooks)


def locate(model: nn.Module, example: Tensor, *, hooks: Path | None = None) -> SiteReport:
    """Where the feature layer, the heads and the prunable units of any net are, proved on its weights.

    Args:
        model: takes a batch of images and returns logits (a tensor, or inside a tuple, a mapping or a ModelOutput).
        example: a batch ``(n, c, h, w)`` as the net takes it; only its shape counts.
        hooks: a folder with adapters of your own (``library = "module"``, ``match`` = the class's name).

    Raises:
        ModelError: what could not be found, and how an adapter would say it.
    """
    from hubclean.nets.site_report import survey_module

    return survey_module(model, example, hooks)


def clean(
    target: str | Path | Repo | Checkpoint,
    data: str | Path | None,
    out: str | Path,
    *,
    revision: str | None = None,
    session: Session | None = None,
    **options: Any,
) -> CleanResult:
    """Detect, cleanse, measure and write a sanitized checkpoint (see ``pipeline.clean``).

    Args:
        target: as for ``scan``, or a checkpoint from ``loading.wrap`` for a net that no library knows.
        data: clean labelled images: a folder, a parquet file, or a Hub dataset id; ``None`` for methods that need none.
        out: folder to write; it appears whole or not at all.
        session: device, seed, batch size, from ``session.open_session``.
        options: fields of ``options.CleanOptions``.
    """
    from hubclean.cleansing.options import CleanOptions
    from hubclean.cleansing.pipeline import clean as run
    from hubclean.nets.session import open_session

    place = str(target) if isinstance(target, Path) else target
    images = None if data is None else str(data)
    return run(place, images, Path(out), session or open_session(), CleanOptions(**options), revision)


def load_guarded(
    target: str | Path, *, revision: str | None = None, session: Session | None = None
) -> FilteredClassifier:
    """Load a checkpoint that ``clean`` wrote with its runtime guard (see ``runtime_filter.FilteredClassifier``).

    Args:
        target: the output folder of ``clean``, or where it was published: ``org/model``, ``org/model@rev``.
        session: on whose device the model shall be (the CPU without one).

    Raises:
        DataError: there is no guard, or it is damaged. ModelError: it was made for other weights.
    """
    from hubclean.hub.targets import open_target
    from hubclean.methods.runtime_filter import open_filtered

    return open_filtered(open_target(str(target), revision), session)


def push(folder: str | Path, repo_id: str, **options: Any) -> PushReport:
    """Publish a folder that ``clean`` wrote, in one commit (see ``publish.push`` for the options)."""
    from hubclean.hub.publish import push as publish

    return publish(Path(folder), repo_id, **options)
