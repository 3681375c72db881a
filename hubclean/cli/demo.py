"""``hubclean demo``: the whole job on a model planted on the spot."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hubclean.cli.options import json_option, print_result

if TYPE_CHECKING:
    from hubclean.records import DemoReport


def render_demo(report: DemoReport) -> str:
    """The demo's story in one screen."""
    from hubclean.cli.text.clean import before_after
    from hubclean.cli.text.layout import columns
    from hubclean.cli.text.verdict import verdict
    from hubclean.hub.audited_folder import AUDIT

    audit = report.audit
    lines = [f"planted {report.attack} with target label {report.planted_target} in {report.architecture}"]
    lines += [f"{verdict(one, audit.model.labels)}" for one in audit.detections]
    lines += ["", before_after(audit), "", f"{audit.outcome.word}: {audit.outcome.why}"]
    base = Path(report.folder)
    rows = [
        ["card", str(base / "README.md")],
        ["audit", str(base / AUDIT)],
        ["published to", report.published],
    ]
    rows += [["picture", str(base / file.path)] for file in audit.outputs if file.path.endswith(".png")]
    said = "found" if report.exit_code == 0 else "not found; another seed plants another net (--seed 1)"
    last = f"exit code {report.exit_code}: the planted target was {said}"
    return "\n".join([*lines, columns(rows), f"{report.seconds:.0f} s in all, nothing fetched", last])


@click.command()
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
    from hubclean.lab.demo import run_demo

    result = run_demo(out, seed, Bars())
    print_result(result, as_json, lambda: render_demo(result))
    sys.exit(result.exit_code)
