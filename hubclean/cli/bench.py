"""``hubclean bench``: attacks x nets x detectors x defenses x seeds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from hubclean.cli.options import batch_size_option, json_option, print_result


@click.command()
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

    PLAN is a TOML file with the fields of hubclean.lab.bench.Plan; options override it. Run the same command again
    after an interrupt, and in several processes at once: finished cells are kept in OUT. Exit code 2 when cells are
    missing or failed.
    """
    from hubclean.lab.bench.run import run_bench

    session = {"device": rest.pop("device"), "batch_size": rest.pop("batch_size")}
    report = run_bench(plan, rest, out, session, hours, again, lambda line: click.echo(line, err=True))
    print_result(report, as_json, lambda: report.text)
    sys.exit(report.exit_code)
