"""``hubclean scan``: one target or many, four formats, one exit code."""

from __future__ import annotations

import sys
from dataclasses import replace
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
    session,
)
from hubclean.cli.policy import baseline_option, judged_by, policy_options, taken
from hubclean.cli.rules import explain_option
from hubclean.cli.targets import distinct, from_option, listed_in, with_folders
from hubclean.cli.text.documents import output_option, write_documents

if TYPE_CHECKING:
    from hubclean.records import ScanReport
    from hubclean.scanning.document import ScanDocument, TargetScan
    from hubclean.scanning.policy.baseline import Baseline
    from hubclean.scanning.policy.effective import Policy, Wishes
    from hubclean.scanning.policy.search import Search
    from hubclean.scanning.verdict_cache import VerdictCache

MOST_FOLLOWED = 4


@click.command()
@click.argument("targets", nargs=-1, metavar="TARGET...")
@click.option("--revision", help="Branch, tag or commit; the scan is pinned to the commit it names.")
@from_option
@policy_options
@baseline_option
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
@click.option("--no-cache", is_flag=True, help="Neither take nor keep a verdict on an unchanged commit.")
@output_option
@explain_option
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
    default=["neural-cleanse", "mm-bd"],
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
    form: str,
    outputs: tuple[tuple[str, Path], ...],
    quiet: bool,
    **rest: Any,
) -> None:
    """Is TARGET safe to load? Reads the listing, headers and configs; fetches no weight.

    TARGET is org/model, org/model@rev, a Hub URL, a local folder, or one file. Exit code 1: a finding in what will be
    loaded, or a hostile one in any file. 2: something to be loaded was not checked, or there is nothing to load. Of
    several targets, findings in one give 1, and no verdict on one gives 2.
    """
    from hubclean.scanning.document import document_of

    names = (*targets, *(listed_in(listed) if listed else ()))
    if not names:
        raise click.UsageError("Missing argument 'TARGET...': name a target, or --from FILE.")
    names = distinct(with_folders(names) if rest["with_folder"] else names)
    if len(names) > 1 and (rest["revision"] or rest["deep"]):
        raise click.UsageError("--revision and --deep go with one target.")
    search, wishes = taken(rest)
    form = "json" if rest["as_json"] else form
    shown = form == "text" and not quiet
    judged = _judged(names, search, wishes)  # whatever is wrong with settings is told before any work
    rows = [_one(name, *by, rest, alone=len(names) == 1, shown=shown) for name, by in zip(names, judged, strict=True)]
    if rest["follow"]:
        wishes, more = replace(wishes, loader=None), rest | {"revision": None, "variant": None, "subfolder": ""}
        bases = _bases(rows, names)
        judged = _judged(bases, search, wishes)
        rows += [_one(name, *by, more, alone=False, shown=shown) for name, by in zip(bases, judged, strict=True)]
    document = document_of(rows, rest["deadline"])
    _print(document, form, quiet)
    write_documents(document, outputs)
    sys.exit(document.exit_code)


def _bases(rows: list[TargetScan], names: tuple[str, ...]) -> tuple[str, ...]:
    """The repos of a Hub from which the scanned ones load, too: one level, few, and never a path of this disk."""
    named = dict.fromkeys(base for row in rows for base in row.load_set.base)
    return tuple(f"hf://{base.removeprefix('hf://')}" for base in named if base not in names)[:MOST_FOLLOWED]


def _judged(names: tuple[str, ...], search: Search, wishes: Wishes) -> list[tuple[Policy, Baseline | None]]:
    """By what each target is judged."""
    policies = [search.policy(name, wishes) for name in names]
    return [(policy, search.baseline(policy)) for policy in policies]


def _one(
    target: str, policy: Policy, baseline: Baseline | None, rest: dict[str, Any], alone: bool, shown: bool
) -> TargetScan:
    """Scan one target; alone, its failure ends the command, among many it is a row of the table."""
    from hubclean.errors import HubcleanError
    from hubclean.scanning.document import TargetScan, target_scan
    from hubclean.scanning.verdict_cache import scan_once

    static = {key: rest[key] for key in ("variant", "subfolder", "deadline")}
    static |= {**judged_by(policy), "baseline": baseline}
    try:
        from hubclean.hub.deadline import within
        from hubclean.hub.targets import open_target

        with within(rest["deadline"]):
            repo = open_target(target, rest["revision"])
            report, kept = scan_once(repo, _cache(rest), _bars(repo), **static)
        if rest["deep"]:
            report = _deepened(repo, report, rest)
    except (HubcleanError, OSError) as error:
        if alone:
            raise
        return TargetScan(target, 2, str(error) or type(error).__name__, policy=policy)
    if shown:
        _show(report, policy, rest["verbose"], last=alone, kept=kept)
    return target_scan(target, report, policy)


def _cache(rest: dict[str, Any]) -> VerdictCache | None:
    """The verdicts kept on this machine, unless they are not wanted."""
    from hubclean.scanning.verdict_cache import VerdictCache, default_folder

    folder = None if rest["no_cache"] else default_folder()
    return VerdictCache(folder) if folder else None


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


def _show(report: ScanReport, policy: Policy, verbose: bool, last: bool, kept: bool) -> None:
    from hubclean.cli.text.layout import coloured, terminal_width
    from hubclean.cli.text.scan import render_scan

    colour, width = coloured(), terminal_width()
    text = render_scan(report, colour, width, named=not last, verbose=verbose, policy=policy, kept=kept)
    click.echo(text + ("" if last else "\n"), color=colour or None)


def _print(document: ScanDocument, form: str, quiet: bool) -> None:
    """Everything that stands behind the reports: a document, a line, or the table of many targets."""
    from hubclean.cli.text.documents import document_text
    from hubclean.cli.text.layout import terminal_width
    from hubclean.cli.text.scan import counted, render_table

    if form != "text":
        click.echo(document_text(document, form))
    elif len(document.scans) > 1:
        click.echo(render_table(document, terminal_width()))
    elif quiet:
        click.echo(counted(document.scans[0]))
