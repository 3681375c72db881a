"""``hubclean scan``: one target or many, four formats, one exit code."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubclean.cli.options import (
    LABELS,
    accept_option,
    base_option,
    data_options,
    json_option,
    label_options,
    model_options,
    place_options,
    policy_options,
    session,
)

if TYPE_CHECKING:
    from hubclean.records import ScanReport
    from hubclean.scanning.document import ScanDocument, TargetScan

MOST_TARGETS = 10_000
MOST_FOLLOWED = 4
_MODEL_CONFIGS = ("config.json", "adapter_config.json", "open_clip_config.json")


@click.command()
@click.argument("targets", nargs=-1, metavar="TARGET...")
@click.option("--revision", help="Branch, tag or commit; the scan is pinned to the commit it names.")
@click.option(
    "--from",
    "listed",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with more targets, one a line; # starts a comment.",
)
@policy_options
@place_options
@click.option("--with-folder", is_flag=True, help="A file stands for the model in whose folder it lies, if one does.")
@click.option(
    "--deadline",
    type=float,
    default=900.0,
    show_default=True,
    metavar="SECONDS",
    help="Time for each target; what was not judged by then is not checked.",
)
@click.option("--follow", is_flag=True, help="Scan the base model of an adapter, too.")
@click.option(
    "--format",
    "form",
    default="text",
    show_default=True,
    type=click.Choice(["text", "json", "sarif", "cyclonedx"]),
    help="SARIF 2.1.0 is for code scanning, CycloneDX 1.6 is a bill of materials.",
)
@click.option("-v", "--verbose", is_flag=True, help="Every finding and every file, not grouped.")
@click.option("-q", "--quiet", is_flag=True, help="Print counts only: a line for one target, a table for many.")
@click.option("--deep", is_flag=True, help="Then fetch the weights and run the backdoor detectors.")
@click.option(
    "--data",
    help="Images for --deep: a folder, a table or archive, or a Hub dataset id. Without any, detectors that need none "
    "run.",
)
@click.option(
    "--detector",
    "detectors",
    multiple=True,
    default=["neural-cleanse", "source-specific", "mm-bd"],
    show_default=True,
    help="Detector for --deep; repeatable. mm-bd needs no images.",
)
@click.option(
    "-o", "given", multiple=True, metavar="KEY=VALUE", help="Option of a detector (see hubclean methods NAME)."
)
@base_option
@data_options
@label_options
@accept_option
@model_options
@json_option
def scan(
    targets: tuple[str, ...],
    listed: Path | None,
    fail_on: str,
    allow: tuple[str, ...],
    allow_unchecked: tuple[str, ...],
    form: str,
    quiet: bool,
    **rest: Any,
) -> None:
    """Is TARGET safe to load? Reads the listing, headers and configs; fetches no weight.

    TARGET is org/model, org/model@rev, a Hub URL, a local folder, or one file. Exit code 1: a finding in what will be
    loaded, or a hostile one in any file. 2: something to be loaded was not checked, or there is nothing to load. Of
    several targets, findings in one give 1, and no verdict on one gives 2.
    """
    from hubclean.scanning.document import ScanDocument, worst
    from hubclean.scanning.pickles.allowed_names import check_names

    names = (*targets, *(_listed(listed) if listed else ()))
    if not names:
        raise click.UsageError("Missing argument 'TARGET...': name a target, or --from FILE.")
    if len(names) > 1 and (rest["revision"] or rest["deep"]):
        raise click.UsageError("--revision and --deep go with one target.")
    names = _with_folders(names) if rest["with_folder"] else names
    check_names(allow)
    static = {"gate": fail_on, "allow": allow, "allow_unchecked": allow_unchecked, "loader": rest["loader"]}
    static |= {"variant": rest["variant"], "subfolder": rest["subfolder"], "deadline": rest["deadline"]}
    form = "json" if rest["as_json"] else form
    shown = form == "text" and not quiet
    rows = [_one(name, static, rest, alone=len(names) == 1, shown=shown) for name in names]
    if rest["follow"]:
        more = {**static, "loader": None, "variant": None, "subfolder": ""}
        rows += [_one(name, more, rest | {"revision": None}, alone=False, shown=shown) for name in _bases(rows, names)]
    document = ScanDocument(
        fail_on,  # type: ignore[arg-type]
        allow_unchecked,
        tuple(sorted(set(allow))),
        worst([row.exit_code for row in rows]),
        tuple(rows),
        rest["deadline"],
    )
    _print(document, form, quiet)
    sys.exit(document.exit_code)


def _with_folders(names: tuple[str, ...]) -> tuple[str, ...]:
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


def _bases(rows: list[TargetScan], names: tuple[str, ...]) -> tuple[str, ...]:
    """The repos of a Hub from which the scanned ones load, too: one level, few, and never a path of this disk."""
    named = dict.fromkeys(base for row in rows for base in row.load_set.base)
    return tuple(f"hf://{base.removeprefix('hf://')}" for base in named if base not in names)[:MOST_FOLLOWED]


def _listed(place: Path) -> tuple[str, ...]:
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


def _one(target: str, static: dict[str, Any], rest: dict[str, Any], alone: bool, shown: bool) -> TargetScan:
    """Scan one target; alone, its failure ends the command, among many it is a row of the table."""
    from hubclean.errors import HubcleanError
    from hubclean.scanning.document import TargetScan, target_scan
    from hubclean.scanning.engine import scan as run

    try:
        from hubclean.hub.deadline import within
        from hubclean.hub.targets import open_target

        with within(static["deadline"]):
            repo = open_target(target, rest["revision"])
            report = run(repo, **static, progress=_bars(repo))
        if rest["deep"]:
            report = _deepened(repo, report, rest)
    except (HubcleanError, OSError) as error:
        if alone:
            raise
        return TargetScan(target, 2, str(error) or type(error).__name__)
    if shown:
        _show(report, rest["verbose"], last=alone)
    return target_scan(target, report)


def _bars(repo: Any) -> Any:
    """Progress on stderr for a Hub, whose client brings the bars; a folder is read faster than they are loaded."""
    if repo.ref.kind == "local":
        return None
    from hubclean.cli.progress_bars import Bars

    return Bars()


def _deepened(repo: Any, report: ScanReport, rest: dict[str, Any]) -> ScanReport:
    from hubclean.cleansing.deep import DeepOptions, deep_scan
    from hubclean.nets.datasets import Sizes

    sizes = Sizes(rest["fit"], rest["val"], rest["test"])
    keys = ("detectors", "given", "split", "hooks", "base", "image_column", "label_column", *LABELS)
    options = DeepOptions(**{key: rest[key] for key in keys}, sizes=sizes)
    return deep_scan(repo, report, session(rest), rest["data"], options)[0]


def _show(report: ScanReport, verbose: bool, last: bool) -> None:
    from hubclean.cli.text.scan import render_scan

    on_terminal = bool(sys.stdout and sys.stdout.isatty())
    width = shutil.get_terminal_size().columns if on_terminal else 0
    text = render_scan(report, on_terminal, width, named=not last, verbose=verbose)
    click.echo(text + ("" if last else "\n"))


def _print(document: ScanDocument, form: str, quiet: bool) -> None:
    """Everything that stands behind the reports: a document, a line, or the table of many targets."""
    from hubclean.cli.text.scan import counted, render_table
    from hubclean.records import to_json

    if form == "text":
        if len(document.scans) > 1:
            click.echo(render_table(document))
        elif quiet:
            click.echo(counted(document.scans[0]))
        return
    if form == "sarif":
        from hubclean.scanning.sarif import sarif

        value = sarif(document)
    elif form == "cyclonedx":
        from hubclean.scanning.cyclonedx import cyclonedx

        value = cyclonedx(document)
    else:
        value = to_json(document)
    click.echo(json.dumps(value, indent=1, ensure_ascii=True, allow_nan=False))
