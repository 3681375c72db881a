"""The commands of federated pruning without a server: rank, tally, feedback. Parse, call, write, print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hubclean.cli.options import (
    FileLists,
    file_list,
    json_option,
    label_options,
    model_options,
    print_result,
    session,
)
from hubclean.escaping import printable

_REVISION = click.option("--revision", help="Branch, tag or commit.")
_SPLIT = click.option("--split", help="Split of the images  [default: the most held-out one: test, validation, train]")
_OUT = click.option("--out", required=True, type=click.Path(path_type=Path), help="File to write; must not exist.")


@click.command()
@click.argument("target")
@_REVISION
@click.option("--data", required=True, help="Private images: a folder, a table or archive, or a Hub dataset id.")
@_OUT
@click.option(
    "--scheme",
    default="rap",
    show_default=True,
    type=click.Choice(["rap", "mvp"]),
    help="Ranks of all units, or votes for the least active.",
)
@click.option(
    "--rate",
    default=0.5,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True),
    help="Share of the units that mvp votes for.",
)
@click.option(
    "--epsilon",
    type=click.FloatRange(0, 1e6, min_open=True),
    help="Draw the mvp votes with noise: local differential privacy of this ballot.  [default: none]",
)
@click.option(
    "--site",
    default="feature",
    show_default=True,
    type=click.Choice(["feature", "conv", "position"]),
    help="Final channels, the last convolution, or single inputs of the first Linear behind a flatten.",
)
@_SPLIT
@model_options
@json_option
def rank(target: str, data: str, out: Path, as_json: bool, **rest: Any) -> None:
    """Rank TARGET's units on private images and write a ballot; no image, label or activation is in it.

    Whoever sees a ballot can still guess well which labels the images have, from ranks best; noise
    (--epsilon) hides that, at a cost.

    Whoever gets the ballots of several owners runs hubclean clean TARGET --ballots *.json. All must be for the same
    weights, site, scheme and rate.
    """
    from hubclean.federated import by_files
    from hubclean.methods.voting.ballot_files import check_new, write_document

    check_new(out)
    opened = session(rest)
    source = by_files.OwnImages(target, data, rest["revision"], rest["split"], rest["hooks"])
    made = by_files.rank(source, opened, rest["scheme"], rest["rate"], rest["site"], rest["epsilon"])
    if opened.accelerator.is_main_process:
        write_document(made, out)
        what = f"ranks of {made.units} units" if made.rate is None else f"votes for {sum(made.entries)} of {made.units}"
        kind = f"{what}, site {made.site}, {made.images_at_least} images or more"
        kind += "" if made.epsilon is None else f", noise of epsilon {made.epsilon:g}"
        print_result(made, as_json, lambda: f"{out}: {kind}\n  sha256 {made.sha256}")


@click.command(cls=FileLists)
@click.argument("target")
@_REVISION
@file_list("--ballots", "Ballots of participants.", required=True)
@_OUT
@click.option(
    "--joining",
    default="mean",
    show_default=True,
    type=click.Choice(["mean", "median", "trimmed"]),
    help="How ranks are joined; the option of the same name of federated-pruning must be the same later.",
)
@click.option(
    "--step",
    default=0.01,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True),
    help="Share of the units between two points; likewise.",
)
@model_options
@json_option
def tally(target: str, ballots: tuple[Path, ...], out: Path, as_json: bool, **rest: Any) -> None:
    """Count ballots for TARGET and write the pruning sequence that participants answer with feedback.

    Refused ballots are named with the reason; the rest counts if it is more than half.
    """
    from hubclean.federated import by_files
    from hubclean.methods.voting.ballot_files import check_new, write_document

    check_new(out)
    opened = session(rest)
    source = by_files.OwnImages(target, None, rest["revision"], None, rest["hooks"])
    made = by_files.tally(source, ballots, opened, rest["joining"], rest["step"])
    for one in made.ballots:
        if one.refused:
            click.echo(f"hubclean: refused: {printable(one.file, 80)}: {one.refused}", err=True)
    if opened.accelerator.is_main_process:
        write_document(made.sequence, out)
        counted = f"{len(made.sequence.ballots)} of {len(made.ballots)} ballots counted"
        what = f"{len(made.sequence.order)} of {made.sequence.units} units in order, {len(made.sequence.counts)} points"
        print_result(made, as_json, lambda: f"{out}: {counted}; {what}\n  sha256 {made.sequence.sha256}")


@click.command()
@click.argument("target")
@_REVISION
@click.option(
    "--sequence",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The pruning sequence, as tally wrote it.",
)
@click.option(
    "--data", required=True, help="Private labelled images: a folder, a table or archive, or a Hub dataset id."
)
@_OUT
@_SPLIT
@label_options
@model_options
@json_option
def feedback(target: str, sequence: Path, data: str, out: Path, as_json: bool, **rest: Any) -> None:
    """Try a pruning sequence on private images and write TARGET's accuracy at every point of it."""
    from hubclean.federated import by_files
    from hubclean.methods.voting.ballot_files import check_new, write_document
    from hubclean.nets.labels.matching import labelling

    check_new(out)
    names, opened = labelling(rest["labels_by"], rest["label_map"]), session(rest)
    source = by_files.OwnImages(target, data, rest["revision"], rest["split"], rest["hooks"], names)
    made = by_files.feedback(source, sequence, opened)
    if opened.accelerator.is_main_process:
        write_document(made, out)
        curve = f"accuracy {made.accuracies[0]:.1%} before, {made.accuracies[-1]:.1%} with {made.counts[-1]} units cut"
        print_result(made, as_json, lambda: f"{out}: {curve}\n  sha256 {made.sha256}")
