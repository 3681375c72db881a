"""The command line: parse, call, print, exit code. Results go to stdout, everything else to stderr.

Exit codes: 0 clean, 1 findings, 2 no verdict (an error, bad input, or something could not be checked).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from hubclean.cli import ballots
from hubclean.cli.convert import convert
from hubclean.cli.hf_register import hf_register
from hubclean.cli.options import (
    FileLists,
    batch_size_option,
    data_options,
    file_list,
    json_option,
    model_options,
    print_result,
)
from hubclean.cli.options import session as new_session
from hubclean.cli.scan import download, scan
from hubclean.version import __version__

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class _Group(click.Group):
    """Turns every failure into one sentence on stderr and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        from hubclean.cli.text.scan import complain, guard_streams

        guard_streams()
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except (KeyboardInterrupt, click.Abort):
            complain("interrupted; nothing was left half-written")
        except Exception as error:
            complain(error, f"hubclean {ctx.invoked_subcommand}")
        ctx.exit(2)


@click.group(cls=_Group, context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="hubclean")
def main() -> None:
    """Scan, cleanse and republish image classifiers of the Hugging Face Hub.

    A checkpoint can hurt by code (pickles, custom Python, configs that load it) and by weights (a backdoor). Exit
    codes: 0 clean, 1 findings, 2 no verdict (an error, bad input, or something could not be checked).
    """


main.add_command(scan)
main.add_command(download)
main.add_command(convert)
main.add_command(hf_register)


@main.command()
@click.argument("target")
@click.option("--revision", help="Branch, tag or commit.")
@click.option(
    "--hooks", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder with adapters of your own."
)
@click.option("--prove", is_flag=True, help="Fetch the weights and prove by numbers what the config promises.")
@json_option
def site(target: str, revision: str | None, hooks: Path | None, prove: bool, as_json: bool) -> None:
    """Where TARGET's last feature layer, heads and prunable units are; built on the meta device, no weights fetched."""
    from hubclean.cli.text.clean import render_site
    from hubclean.hub.repos import open_target
    from hubclean.nets.site_report import survey, survey_checkpoint

    repo = open_target(target, revision)
    if prove:
        from hubclean.nets import loading
        from hubclean.nets.build import adapters

        report = survey_checkpoint(loading.load(repo, adapters=adapters.load(hooks)), hooks)
    else:
        report = survey(repo, hooks)
    print_result(report, as_json, lambda: render_site(report))


@main.command(cls=FileLists)
@click.argument("target")
@click.option("--revision", help="Branch, tag or commit.")
@click.option(
    "--data",
    help="Clean labelled images: a folder, a parquet file, or a Hub dataset id. Without any, only methods that need "
    "none run, and nothing is measured.",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder to write; it appears whole or not at all."
)
@click.option(
    "--detector",
    "detectors",
    multiple=True,
    help="Detector, or skip; repeatable  [default: neural-cleanse; mm-bd without --data]",
)
@click.option(
    "--defense", help="Defense; auto tries several and keeps the best  [default: fine-pruning; clp without --data]"
)
@click.option("--retune/--no-retune", default=True, show_default=True, help="Measure whether a trigger comes back.")
@click.option(
    "-o",
    "given",
    multiple=True,
    metavar="KEY=VALUE",
    help="Option of either, also METHOD.KEY=VALUE (see hubclean methods NAME).",
)
@click.option(
    "--planted",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Trigger file you know, of any attack: measures ASR only.",
)
@file_list("--ballots", "Ballots of participants (hubclean rank); takes --defense federated-pruning.")
@file_list("--feedback", "Their accuracies for the sequence of these ballots (hubclean feedback).")
@data_options
@model_options
@json_option
def clean(
    target: str,
    revision: str | None,
    data: str | None,
    out: Path,
    planted: tuple[Path, ...],
    as_json: bool,
    **rest: Any,
) -> None:
    """Detect, cleanse and measure TARGET, and write a sanitized checkpoint with audit and card.

    Exit code 0: written, and no backdoor was found or none is left that the recovered triggers show. 1: written, but
    a trigger still works. 2: not written, or written without a verdict.
    """
    from hubclean.cleansing.options import CleanOptions
    from hubclean.cleansing.pipeline import clean as run
    from hubclean.cli.text.clean import render_clean
    from hubclean.lab.planting import load_stamp
    from hubclean.nets.datasets import Sizes

    session = new_session(rest)
    sizes = Sizes(rest["fit"], rest["val"], rest["test"])
    stamps = tuple(load_stamp(path) for path in planted)
    keys = ("detectors", "defense", "given", "split", "hooks", "retune", "ballots", "feedback")
    options = CleanOptions(**{key: rest[key] for key in keys}, sizes=sizes, planted=stamps)
    result = run(target, data, out, session, options, revision)
    if session.accelerator.is_main_process:
        for warning in result.warnings:
            click.echo(f"hubclean: warning: {warning}", err=True)
        print_result(result.audit, as_json, lambda: render_clean(result.audit, result.folder))
    sys.exit(result.audit.exit_code)


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("repo_id")
@click.option("--create-pr", is_flag=True, help="Open a pull request instead of committing to the branch.")
@click.option("--private", is_flag=True, help="Make the repo private if it has to be created.")
@click.option("--revision", default="main", show_default=True, help="Branch to commit to.")
@click.option("--delete-pickles", is_flag=True, help="Remove pickle weights of REPO_ID in the same commit.")
@click.option("--dry-run", is_flag=True, help="Show the exact file list and card; send nothing.")
@json_option
def push(folder: Path, repo_id: str, as_json: bool, **options: Any) -> None:
    """Publish FOLDER, as written by clean, to REPO_ID (org/name) in one commit."""
    from hubclean.cli.text.clean import render_push
    from hubclean.hub.publish import push as publish

    report = publish(folder, repo_id, **options)
    print_result(report, as_json, lambda: render_push(report))


@main.command()
@click.argument("name", required=False)
@json_option
def methods(name: str | None, as_json: bool) -> None:
    """The detectors, defenses, scanners and attacks, or one of them with options, defaults and ranges."""
    from hubclean.cli.text.clean import render_methods
    from hubclean.registry import describe

    rows = describe(name)
    print_result(rows, as_json, lambda: render_methods(rows))


@main.command()
@click.argument("plan", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for models, results and tables.")
@click.option("--data", multiple=True, help="Image set with a train and a test split; repeatable.")
@click.option("--net", "nets", multiple=True, help="Net of the bench, or timm/NAME; repeatable.")
@click.option("--attack", "attacks", multiple=True, help="Attack or clean, NAME:KEY=VALUE,KEY=VALUE; repeatable.")
@click.option("--detector", "detectors", multiple=True, help="Detector, written likewise; repeatable.")
@click.option("--defense", "defenses", multiple=True, help="Defense, written likewise; repeatable.")
@click.option("--seeds", type=click.IntRange(1), help="Seeds 0 to N-1 of models and methods.")
@click.option("--train", type=int, help="Images to train on, 0 = all.")
@click.option("--size", type=int, help="Side of the images in pixels, 0 = as they are.")
@click.option("--epochs", type=int, help="Epochs of training, 0 = the net's own.")
@click.option("--hours", default=0.0, help="Begin nothing after so many hours; run again to go on.")
@click.option("--again", is_flag=True, help="Run failed cells again.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps.")
@batch_size_option
@json_option
def bench(plan: Path | None, out: Path, hours: float, again: bool, as_json: bool, **rest: Any) -> None:
    """Attacks x nets x detectors x defenses x seeds: what do the methods really do?

    PLAN is a TOML file with the fields of hubclean.lab.bench.plans.Plan; options override it. Run the same command again
    after an interrupt, and in several processes at once: finished cells are kept in OUT. Exit code 2 when cells are
    missing or failed.
    """
    from hubclean.lab.bench.run import run

    session = {"device": rest.pop("device"), "batch_size": rest.pop("batch_size")}
    report = run(plan, rest, out, session, hours, again, lambda line: click.echo(line, err=True))
    print_result(report, as_json, lambda: report.text)
    sys.exit(report.exit_code)


@main.command()
@click.option(
    "--out",
    default="hubclean-demo",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder for everything the demo makes.",
)
@click.option("--seed", default=0, show_default=True, help="Every random choice derives from it.")
@json_option
def demo(out: Path, seed: int, as_json: bool) -> None:
    """Plant a backdoor in a small timm model, then find, cleanse, measure and publish it; nothing is fetched."""
    from hubclean.cli.progress_bars import Bars
    from hubclean.cli.text.clean import render_demo
    from hubclean.lab.demo import run

    result = run(out, seed, Bars())
    print_result(result, as_json, lambda: render_demo(result))
    sys.exit(result.exit_code)


for command in (ballots.rank, ballots.tally, ballots.feedback):
    main.add_command(command)
