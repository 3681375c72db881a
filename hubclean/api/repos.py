"""What needs the base install only: scan a repo, download, convert or guard what passed, publish what was cleansed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hubclean.errors import strings

if TYPE_CHECKING:
    from hubclean.hub.publish import PushReport
    from hubclean.hub.repos import Repo
    from hubclean.nets.datasets import ImageSource, Sizes
    from hubclean.nets.session import Session
    from hubclean.progress import Progress
    from hubclean.records import Loader, ScanReport, Severity
    from hubclean.scanning.converting import ConvertReport
    from hubclean.scanning.downloading import DownloadReport
    from hubclean.scanning.guard.guard import Guard


def scan(
    target: str | Path | Repo,
    *,
    revision: str | None = None,
    gate: Severity = "high",
    allow: Sequence[str] = (),
    allow_unchecked: Sequence[str] = (),
    loader: Loader | None = None,
    variant: str | None = None,
    subfolder: str = "",
    deadline: float = 900.0,
    progress: Progress | None = None,
    deep: bool = False,
    data: ImageSource | None = None,
    detectors: Sequence[str] = ("neural-cleanse", "source-specific", "mm-bd"),
    given: Sequence[str] = (),
    split: str | None = None,
    sizes: Sizes | None = None,
    hooks: Path | None = None,
    base: str | None = None,
    session: Session | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    label_map: str | Path | Mapping[str, str | int | None] | None = None,
    labels_by: Literal["name", "number", "position"] | None = None,
    accept_accuracy: bool = False,
) -> ScanReport:
    """Scan a repo before its weights are downloaded; with ``deep``, run backdoor detectors afterwards.

    >>> report = hubclean.scan("model")
    >>> report.exit_code, report.load_set.loader, report.load_set.files
    (0, 'timm', ('config.json', 'model.safetensors'))

    Args:
        target: ``org/model``, ``org/model@rev``, a Hub URL, a local folder, one file, or an opened repo.
        revision: branch, tag or commit; only with a target on a Hub.
        gate: the severity from which a finding makes ``exit_code`` 1.
        allow: exact names (``timm.models.resnet.ResNet``) that pickles may hold; recorded in the report.
        allow_unchecked: patterns of paths (``fnmatch``) that may stay not checked without making ``exit_code`` 2.
        loader: who loads: ``transformers``, ``timm``, ``peft``, ``open_clip``, ``torch`` (state dicts, by hand), or
            ``all`` for every file; without it, whom the repo is for. The exit code is about what it opens.
        variant, subfolder: as of ``from_pretrained``.
        deadline: seconds for the static scan; what was not judged by then is not checked.
        progress: told of every file read.
        deep: fetch the weights if the static scan allows it, and run detectors on them.
        data, split, sizes, image_column, label_column: images for ``deep``, as for ``clean``; without any, detectors
            that need none run.
        detectors, given: detectors for ``deep``, and their options as ``"KEY=VALUE"``.
        hooks: a folder with adapters of your own, for ``deep``.
        base: what an adapter (LoRA) changes, for ``deep``; without it the repo that its config names.
        session: device, seed, batch size for ``deep``, from ``open_session``.
        label_map, labels_by, accept_accuracy: for ``deep``, as for ``clean``.

    Returns:
        The report; ``report.exit_code`` is that of the command: 0 clean, 1 findings, 2 no verdict.

    Raises:
        HubcleanError: the target could not be scanned.
    """
    from hubclean.hub.deadline import within
    from hubclean.hub.targets import open_target
    from hubclean.scanning import engine

    detectors, given = strings("detectors", detectors), strings("given", given)
    with within(deadline):
        repo = open_target(str(target), revision) if isinstance(target, (str, Path)) else target
        report = engine.scan(
            repo,
            gate=gate,
            allow=strings("allow", allow),
            allow_unchecked=strings("allow_unchecked", allow_unchecked),
            loader=loader,
            variant=variant,
            subfolder=subfolder,
            deadline=deadline,
            progress=progress,
        )
    if not deep:
        return report
    from hubclean.cleansing.deep import DeepOptions, deep_scan
    from hubclean.nets.datasets import Sizes
    from hubclean.nets.session import open_session

    columns = image_column, label_column
    options = DeepOptions(
        detectors, given, split, sizes or Sizes(), hooks, base, *columns, label_map, labels_by, accept_accuracy
    )
    return deep_scan(repo, report, session or open_session(progress=progress), data, options)[0]


def download(
    target: str | Path | Repo,
    out: str | Path | None = None,
    *,
    revision: str | None = None,
    gate: Severity = "high",
    allow: Sequence[str] = (),
    allow_unchecked: Sequence[str] = (),
    loader: Loader | None = None,
    variant: str | None = None,
    subfolder: str = "",
    progress: Progress | None = None,
) -> DownloadReport:
    """Scan a repo, then fetch what will be loaded, every byte checked, into a folder that appears whole or not at all.

    >>> report = hubclean.download("model", "copy")
    >>> report.exit_code, [file.path for file in report.files]
    (0, ['config.json', 'model.safetensors'])

    Args:
        target, revision, gate, allow, allow_unchecked, loader, variant, subfolder, progress: as for ``scan``.
        out: folder to write; without it, one named like the model in the current folder.

    Raises:
        HubcleanError: as for ``scan``; or the folder is taken, or a byte is not what the commit says.
    """
    from hubclean.scanning import downloading

    place = None if out is None else Path(out)
    return downloading.download(
        target,
        place,
        revision=revision,
        gate=gate,
        allow=strings("allow", allow),
        allow_unchecked=strings("allow_unchecked", allow_unchecked),
        loader=loader,
        variant=variant,
        subfolder=subfolder,
        progress=progress,
    )


def convert(
    target: str | Path | Repo,
    out: str | Path,
    *,
    revision: str | None = None,
    file: str | None = None,
    key: str | None = None,
    prefix: str | None = None,
    subfolder: str = "",
    gate: Severity = "high",
    allow: Sequence[str] = (),
    allow_unchecked: Sequence[str] = (),
    loader: Loader | None = None,
    unknown: bool = False,
    progress: Progress | None = None,
) -> ConvertReport:
    """Scan a repo, then write its pickled weights as safetensors, unpickling nothing.

    >>> report = hubclean.convert("pickled", "converted")
    >>> report.exit_code, [file.path for file in report.files]
    (0, ['config.json', 'model.safetensors'])

    Args:
        target, revision, gate, allow, allow_unchecked, loader, progress: as for ``scan``.
        out: folder to write; it appears whole or not at all.
        file: which checkpoint of the repo, where there are several.
        key: where in nested dicts the weights are (``ema.state_dict``); without it they are looked for.
        prefix: what stands before every name of the weights; without it what the config asks for, ``""`` keeps all
            names as they are.
        subfolder: where in the repo the model lies, as of ``from_pretrained``.
        unknown: convert pickles that hold classes outside the list too (whole pickled models): nothing is imported.

    Raises:
        HubcleanError: as for ``scan``; or there is no such checkpoint, or it cannot be converted faithfully.
    """
    from hubclean.nets.expected_names import architecture_of
    from hubclean.scanning import converting

    return converting.convert(
        target,
        Path(out),
        revision=revision,
        file=file,
        key=key,
        prefix=prefix,
        subfolder=subfolder,
        gate=gate,
        allow=strings("allow", allow),
        allow_unchecked=strings("allow_unchecked", allow_unchecked),
        loader=loader,
        unknown=unknown,
        architecture=architecture_of,
        progress=progress,
    )


def guard(
    *,
    gate: Severity = "high",
    allow: Sequence[str] = (),
    allow_unchecked: Sequence[str] = (),
    loader: Loader | None = None,
    unscanned: Sequence[str] = (),
    on_report: Callable[[ScanReport], None] | None = None,
) -> Guard:
    """``with hubclean.guard():`` downloads of ``huggingface_hub``, timm and transformers scan first and refuse.

    >>> from huggingface_hub import snapshot_download
    >>> with hubclean.guard(allow_unchecked=["*.onnx"]):
    ...     folder = snapshot_download("org/model")

    Args:
        gate, allow, allow_unchecked, loader: as for ``scan``; each file is judged when it is asked for.
        unscanned: types of repos (``dataset``, ``space``, ``kernel``) that pass without a scan; others are refused.
        on_report: called once with the report of every scan, before the repo passes or is refused.

    Raises:
        OptionError: a value that an option cannot have. Inside the block a repo that is not safe raises
            ``hubclean.errors.UnsafeRepoError``, with the scan as ``.report``, before a weight is fetched.
    """
    from hubclean.scanning.guard.guard import Guard
    from hubclean.scanning.guard.options import GuardOptions

    names = {"allow": allow, "allow_unchecked": allow_unchecked, "unscanned": unscanned}
    return Guard(
        GuardOptions(
            gate,
            **{name: strings(name, value) for name, value in names.items()},
            on_report=on_report,
            loader=loader,
        )
    )


def push(
    folder: str | Path,
    repo_id: str,
    *,
    create_pr: bool = False,
    private: bool = False,
    dry_run: bool = False,
    token: str | None = None,
    revision: str = "main",
    message: str | None = None,
    delete_pickles: bool = False,
    force: bool = False,
) -> PushReport:
    """Publish a folder that ``clean`` wrote, in exactly one commit, or not at all.

    >>> report = hubclean.push("clean", "me/model", dry_run=True)
    >>> report.commit is None, "hubclean/audit.json" in [file.path for file in report.files]
    (True, True)

    Args:
        folder: holds ``hubclean/audit.json``, ``README.md`` and the files the audit lists, nothing else.
        repo_id: ``org/model``; made if it does not exist (``private`` says how).
        create_pr: open a pull request instead of committing; a write token of anybody is enough.
        dry_run: only say what would be done; writes nothing and needs no token.
        token: as in ``huggingface_hub``; ``None`` for the one of the machine.
        revision: branch to commit to.
        message: of the commit.
        delete_pickles: remove pickle weights of ``repo_id`` in the same commit.
        force: publish a checkpoint that still has its backdoor, or has it only covered.

    Raises:
        HubcleanError: the backdoor is not removed, the folder is not what its audit says, or the Hub refused; nothing
            was published.
    """
    from hubclean.hub import publish

    return publish.push(
        Path(folder),
        repo_id,
        create_pr=create_pr,
        private=private,
        dry_run=dry_run,
        token=token,
        revision=revision,
        message=message,
        delete_pickles=delete_pickles,
        force=force,
    )
