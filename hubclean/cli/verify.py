"""``hubclean verify``: is a checkpoint what its audit and its card say?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from hubclean.cli.options import batch_size_option, json_option, label_options, print_result


@click.command()
@click.argument("target")
@click.option("--revision", help="Branch, tag or commit; everything is read from the commit it names.")
@click.option(
    "--base", help="The original: org/model, a Hub URL or a folder  [default: the commit that the audit names]"
)
@click.option(
    "--deadline", type=float, default=900.0, show_default=True, metavar="SECONDS", help="Time for the static scan."
)
@click.option("--data", help="Images, as for clean: then accuracy and attack success are measured once more.")
@click.option("--split", help="Split of the images  [default: that of the audit]")
@click.option("--image-column", help="Column of the images in a table, as for clean.")
@click.option("--label-column", help="Column of the labels in a table, as for clean.")
@label_options
@click.option(
    "--planted",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Trigger file that was given to clean, for --data; repeatable, in the same order.",
)
@click.option(
    "--hooks", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder with adapters of your own."
)
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Public key (PEM) of who is to have signed it.",
)
@click.option("--redo", is_flag=True, help="Run the recorded command again from the original, and compare.")
@click.option("--device", default="auto", show_default=True, help="For --data and --redo: auto, cpu, cuda or mps.")
@batch_size_option
@json_option
def verify(target: str, revision: str | None, base: str | None, deadline: float, as_json: bool, **rest: Any) -> None:
    """Is TARGET, written by clean, what its audit and its card say?

    Compared are every file with audit and commit, the weights with the original, the card with the audit, and the
    static scan with what is recorded. Without --data no weight is loaded and no figure is measured again. Exit code 0:
    all of it is as stated. 1: something is not, and its place is named. 2: something could not be decided.
    """
    from hubclean.cleansing.verifying.verify import verify as run
    from hubclean.cli.text.verify import render_verify

    images = session = None
    if rest["data"]:
        from hubclean.cleansing.verifying.figures import Images
        from hubclean.nets.triggers import load_stamp

        keys = ("data", "split", "image_column", "label_column", "label_map", "labels_by", "hooks")
        images = Images(**{key: rest[key] for key in keys}, planted=tuple(map(load_stamp, rest["planted"])))
    if rest["data"] or rest["redo"]:
        from hubclean.cli.progress_bars import Bars
        from hubclean.nets.session import open_session

        session = open_session(rest["device"], batch_size=rest["batch_size"], progress=Bars())
    key = rest["key"].read_bytes() if rest["key"] else None
    shared = {"revision": revision, "base": base, "deadline": deadline, "redo": rest["redo"], "key": key}
    report = run(target, **shared, images=images, session=session)
    print_result(report, as_json, lambda: render_verify(report))
    sys.exit(report.exit_code)
