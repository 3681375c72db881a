"""Options that several commands share, how they open a session and print a result."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """``--json`` of every command that has a result."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")(command)


def _batch_size(context: click.Context, parameter: click.Parameter, value: str) -> int:
    """A number of images; 0 for ``auto``."""
    return 0 if value == "auto" else int(click.IntRange(min=1)(value, parameter, context))


batch_size_option = click.option(
    "--batch-size",
    default="128",
    show_default=True,
    callback=_batch_size,
    help="Images in one forward pass, or auto: as many as the memory holds.",
)


def model_options(command: F) -> F:
    """Options of every command that runs a model."""
    for option in reversed(
        [
            click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps."),
            click.option("--seed", default=0, show_default=True, help="Every random choice derives from it."),
            batch_size_option,
            click.option(
                "--mixed-precision",
                default="no",
                show_default=True,
                type=click.Choice(["no", "fp16", "bf16"]),
                help="Precision of the passes.",
            ),
            click.option(
                "--hooks",
                type=click.Path(exists=True, file_okay=False, path_type=Path),
                help="Folder with adapters of your own.",
            ),
        ]
    ):
        command = option(command)
    return command


def data_options(command: F) -> F:
    """Options of every command that reads images."""
    for option in reversed(
        [
            click.option(
                "--split", help="Split of the images  [default: the most held-out one: test, validation, train]"
            ),
            click.option(
                "--image-column", help="Column of the images in a table  [default: image, or the only one that fits]"
            ),
            click.option(
                "--label-column",
                help="Column of the labels in a table  [default: label, or the one that fits the model]",
            ),
            click.option("--fit", type=int, help="Images for optimising  [default: a quarter, at most 1000]"),
            click.option("--val", type=int, help="Images for stopping rules  [default: a quarter, at most 1000]"),
            click.option("--test", type=int, help="Images for the reported numbers  [default: the rest, at most 5000]"),
        ]
    ):
        command = option(command)
    return command


def label_options(command: F) -> F:
    """How the classes of the images go to the model's labels."""
    kind = click.Path(exists=True, dir_okay=False, path_type=Path)
    for option in (
        click.option(
            "--labels-by",
            type=click.Choice(["name", "number", "position"]),
            help="How classes go to labels  [default: by the very same name; numbers as numbers where labels are such]",
        ),
        click.option("--label-map", type=kind, help="JSON or CSV: class of the images to label; null leaves it out."),
    ):
        command = option(command)
    return command


LABELS = ("label_map", "labels_by", "accept_accuracy")
accept_option = click.option(
    "--accept-accuracy",
    is_flag=True,
    help="Go on where the model does not answer the images with their labels; the card says so in its first lines.",
)


def print_result(result: Any, as_json: bool, text: Callable[[], str]) -> None:
    """Write a result to stdout: JSON by its record, or text."""
    if as_json:
        from hubclean.records import to_json

        click.echo(json.dumps(to_json(result), indent=1, ensure_ascii=True, allow_nan=False))
    else:
        click.echo(text())


def session(options: dict[str, Any]) -> Any:
    """The session that the options of ``model_options`` ask for, with a progress bar."""
    from hubclean.cli.progress_bars import Bars
    from hubclean.nets.session import open_session

    keys = ("device", "seed", "batch_size", "mixed_precision")
    return open_session(**{key: options[key] for key in keys}, progress=Bars())


class FileLists(click.Command):
    """A command whose options of ``lists`` take all the ``.json`` files that follow: ``--ballots *.json`` as a shell
    writes it, and not the first one alone."""

    lists = ("--ballots", "--feedback")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """``--ballots a.json b.json`` becomes ``--ballots a.json --ballots b.json``."""
        spread: list[str] = []
        current = ""
        for number, word in enumerate(args):
            if word in self.lists:
                current = word
            elif current and args[number - 1] != current:
                if word.endswith(".json"):
                    spread.append(current)
                else:
                    current = ""
            spread.append(word)
        return super().parse_args(ctx, spread)


def file_list(name: str, text: str, required: bool = False) -> Callable[[F], F]:
    """An option of a ``FileLists`` command: any number of files that exist."""
    kind = click.Path(exists=True, dir_okay=False, path_type=Path)
    return click.option(name, multiple=True, required=required, type=kind, metavar="FILE...", help=text)


subfolder_option = click.option(
    "--subfolder", default="", help="Where in the repo the model lies, as of from_pretrained."
)


base_option = click.option(
    "--base", help="What an adapter (LoRA) changes  [default: the repo of a Hub that its config names]"
)


def place_options(command: F) -> F:
    """Which of the models in a repo is loaded."""
    for option in (
        subfolder_option,
        click.option("--variant", help="Variant of the weights, as of from_pretrained, e.g. fp16."),
    ):
        command = option(command)
    return command
