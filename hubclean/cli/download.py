"""``hubclean download``: scan, then fetch what is needed and was judged."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubclean.cli.options import json_option, place_options, print_result
from hubclean.cli.policy import baseline_option, judged_by, policy_options, taken
from hubclean.escaping import printable

if TYPE_CHECKING:
    from hubclean.scanning.downloading import DownloadReport


def render_download(report: DownloadReport) -> str:
    """The report as text: the scan's counts, what lies where, what was left out and why."""
    from hubclean.cli.text.policy import policy_lines
    from hubclean.cli.text.scan import headline, loaded_line

    lines = [headline(report.scan), f"  origin: {printable(report.scan.origin.said, 300)}"]
    lines.append(f"  {loaded_line(report.scan)}")
    lines += [f"  {line}" for line in (policy_lines(report.policy) if report.policy else [])]
    if report.folder is None or report.refused:
        lines.append(f"nothing was downloaded: {printable(report.refused.why if report.refused else '', 600)}")
        lines.append(f"`hubclean scan` shows all findings; exit code {report.exit_code}")
        return "\n".join(lines)
    lines += [f"  {row.sha256}  {row.size:>13,}  {printable(row.path)}" for row in report.files]
    lines += [f"  left out: {printable(row.path)} ({printable(row.why, 300)})" for row in report.left_out]
    whole = sum(row.size for row in report.files)
    said = "as its commit says" if report.scan.origin.revision else "with the hash shown"
    lines.append(f"{len(report.files)} files, {whole:,} bytes, each {said}, in {printable(report.folder, 500)}")
    return "\n".join(lines)


@click.command()
@click.argument("target")
@click.option("--revision", help="Branch, tag or commit; everything is read from the commit it names.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder to write; it appears whole or not at all  [default: the model's name, here]",
)
@policy_options
@baseline_option
@place_options
@json_option
def download(target: str, revision: str | None, out: Path | None, as_json: bool, **rest: Any) -> None:
    """Scan TARGET, then fetch what will be loaded: weights, configs, texts; every byte checked.

    No pickle is fetched where there are safetensors, no checkpoint of a training, and no Python file ever. Exit code 0:
    downloaded. 1: refused for a finding. 2: refused because something needed was not checked, or a byte was not what
    the commit says. It refuses exactly what scan does not pass.
    """
    from hubclean.cli.progress_bars import Bars
    from hubclean.scanning.downloading import download as run

    search, wishes = taken(rest)
    policy = search.policy(target, wishes)
    options = {**rest, **judged_by(policy), "baseline": search.baseline(policy)}
    report = run(target, out, revision=revision, progress=Bars(), **options)
    report = replace(report, policy=policy)
    print_result(report, as_json, lambda: render_download(report))
    sys.exit(report.exit_code)
