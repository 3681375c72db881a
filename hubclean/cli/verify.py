"""``hubclean verify``: is a checkpoint what its audit and its card say?"""

from __future__ import annotations

import sys

import click

from hubclean.cli.options import json_option, print_result


@click.command()
@click.argument("target")
@click.option("--revision", help="Branch, tag or commit; everything is read from the commit it names.")
@click.option(
    "--base", help="The original: org/model, a Hub URL or a folder  [default: the commit that the audit names]"
)
@click.option(
    "--deadline", type=float, default=900.0, show_default=True, metavar="SECONDS", help="Time for the static scan."
)
@json_option
def verify(target: str, revision: str | None, base: str | None, deadline: float, as_json: bool) -> None:
    """Is TARGET, written by clean, what its audit and its card say?

    Compared are every file with audit and commit, the weights with the original, the card with the audit, and the
    static scan with what is recorded. No weight is loaded and no image read, so that the figures themselves are not
    measured again. Exit code 0: all of it is as stated. 1: something is not, and its place is named. 2: something could
    not be decided.
    """
    from hubclean.cleansing.verifying.verify import verify as run
    from hubclean.cli.text.verify import render_verify

    report = run(target, revision=revision, base=base, deadline=deadline)
    print_result(report, as_json, lambda: render_verify(report))
    sys.exit(report.exit_code)
