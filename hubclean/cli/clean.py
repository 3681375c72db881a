"""``hubclean clean``: detect, cleanse, measure, write one folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from hubclean.cli.options import (
    LABELS,
    FileLists,
    accept_option,
    base_option,
    data_options,
    file_list,
    json_option,
    label_options,
    model_options,
    policy_options,
    print_result,
    subfolder_option,
)
from hubclean.cli.options import session as new_session


@click.command(cls=FileLists)
@click.argument("target")
@click.option("--revision", help="Branch, tag or commit.")
@click.option(
    "--data",
    help="Clean labelled images: a folder, a table or archive, or a Hub dataset id like org/data:config. Without any, "
    "only methods that need none run, and nothing is measured.",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder to write; it appears whole or not at all."
)
@click.option(
    "--detector",
    "detectors",
    multiple=True,
    help="Detector, or skip; repeatable  [default: neural-cleanse and source-specific; mm-bd without --data]",
)
@click.option("--defense", help="Defense; auto tries several and keeps the best  [default: auto; clp without --data]")
@click.option("--retune/--no-retune", default=True, show_default=True, help="Measure whether a trigger comes back.")
@click.option("--always", is_flag=True, help="Run the defense where nothing was found, too; else the weights stay.")
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
@subfolder_option
@base_option
@policy_options
@data_options
@label_options
@accept_option
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

    Exit code 0: written, and no backdoor was found, or every probe says that it is gone: triggers, also ones inverted
    anew, work on 5 % of the images at most, detection on the written net finds nothing, and nothing comes back when it
    is fine-tuned. 1: written, but a trigger still works, or is only covered up. 2: not written, or without a verdict.
    """
    from hubclean.cleansing.options import CleanOptions
    from hubclean.cleansing.pipeline import clean as run
    from hubclean.cli.text.clean import render_clean
    from hubclean.nets.datasets import Sizes
    from hubclean.nets.triggers import load_stamp

    session = new_session(rest)
    sizes = Sizes(rest["fit"], rest["val"], rest["test"])
    stamps = tuple(load_stamp(path) for path in planted)
    keys = (
        "detectors",
        "defense",
        "given",
        "split",
        "hooks",
        "retune",
        "always",
        "ballots",
        "feedback",
        "base",
        *LABELS,
    )
    named = ("allow", "allow_unchecked", "loader", "subfolder", "image_column", "label_column")
    scanned = {"gate": rest["fail_on"], **{key: rest[key] for key in named}}
    options = CleanOptions(**{key: rest[key] for key in keys}, **scanned, sizes=sizes, planted=stamps)
    result = run(target, data, out, session, options, revision)
    if session.accelerator.is_main_process:
        for warning in result.warnings:
            click.echo(f"hubclean: warning: {warning}", err=True)
        print_result(result.audit, as_json, lambda: render_clean(result.audit, result.folder))
    sys.exit(result.audit.exit_code)
