"""Options that several commands share, and how their results are printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """``--json``."""
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
            click.option("--fit", type=int, help="Images for optimising  [default: a quarter, at most 1000]"),
            click.option("--val", type=int, help="Images for stopping rules  [default: a quarter, at most 1000]"),
            click.option("--test", type=int, help="Images for the reported numbers  [default: the rest, at most 5000]"),
        ]
    ):
        command = option(command)
    return command


def print_result(result: Any, as_json: bool, text: Callable[[], str]) -> None:
    """Write a result to stdout: JSON by its record, or text."""
    if as_json:
        from hubclean.records import to_json

        click.echo(json.dumps(to_json(result), indent=1, ensure_ascii=True, allow_nan=False))
    else:
        click.echo(text())


def open_session_of(options: dict[str, Any]) -> Any:
    """The session of a command: device, seed, batch size, precision, and bars on stderr."""
    from hubclean.bars import Bars
    from hubclean.sessions import open_session

    keys = ("device", "seed", "batch_size", "mixed_precision")
    return open_session(**{key: options[key] for key in keys}, progress=Bars())
