"""``hubclean convert``: pickled weights to safetensors."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubclean.cli.options import json_option, print_result, subfolder_option
from hubclean.cli.policy import baseline_option, judged_by, policy_options, taken
from hubclean.escaping import printable

if TYPE_CHECKING:
    from hubclean.scanning.converting import ConvertReport


@click.command()
@click.argument("target")
@click.option("--revision", help="Branch, tag or commit; everything is read from the commit it names.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder to write; it appears whole or not at all."
)
@click.option("--file", help="Checkpoint of the repo, where there are several.")
@click.option("--key", help="Where in nested dicts the weights are, e.g. ema.state_dict  [default: looked for]")
@click.option(
    "--prefix",
    help="What stands before every name of the weights; '' keeps all names as they are  [default: what the config asks "
    "for]",
)
@subfolder_option
@policy_options
@baseline_option
@click.option(
    "--allow-unknown",
    is_flag=True,
    help="Convert pickles with classes outside the list too (whole pickled models); nothing is imported.",
)
@json_option
def convert(
    target: str,
    revision: str | None,
    out: Path,
    file: str | None,
    key: str | None,
    allow_unknown: bool,
    as_json: bool,
    **rest: Any,
) -> None:
    """Scan TARGET, then write its pickled weights as safetensors, unpickling nothing.

    TARGET is a repo, a folder, or one checkpoint. What it holds besides the weights is left behind and listed. Exit
    code 0: converted. 1: refused for a finding. 2: refused because something could not be checked or converted.
    """
    from hubclean.cli.progress_bars import Bars
    from hubclean.nets.expected_names import architecture_of
    from hubclean.scanning.converting import convert as run

    search, wishes = taken(rest)
    policy = search.policy(target, wishes)
    options = {"revision": revision, "file": file, "key": key, **rest, **judged_by(policy)}
    options |= {"baseline": search.baseline(policy)}
    report = run(target, out, **options, unknown=allow_unknown, architecture=architecture_of, progress=Bars())
    report = replace(report, policy=policy)
    print_result(report, as_json, lambda: render_convert(report))
    sys.exit(report.exit_code)


def render_convert(report: ConvertReport) -> str:
    """The report as text."""
    from hubclean.cli.text.policy import policy_lines
    from hubclean.cli.text.scan import headline

    lines = [headline(report.scan), f"  origin: {printable(report.scan.origin.said, 300)}"]
    lines += [f"  {line}" for line in (policy_lines(report.policy) if report.policy else [])]
    if report.conversion is None or report.refused:
        lines.append(f"nothing was converted: {printable(report.refused.why if report.refused else '', 600)}")
        lines.append(f"`hubclean scan` shows all findings; exit code {report.exit_code}")
        return "\n".join(lines)
    row = report.conversion
    lines += [f"  {file.sha256}  {file.size:>13,}  {printable(file.path)}" for file in report.files]
    lines += [f"  weights found under {printable(row.key)!r}"] if row.key else []
    lines += [f"  {printable(note, 400)}" for note in row.notes]
    lines += [f"  taken off every name: {printable(row.prefix)}"] if row.prefix else []
    lines += [f"  one tensor, written under each name: {', '.join(names)}" for names in row.tied]
    lines += [f"  left behind: {printable(what, 200)}" for what in row.dropped]
    source = ", ".join(printable(file.path) for file in row.inputs)
    lines.append(f"{row.tensors} tensors of {source} in {printable(str(report.folder), 500)}; nothing was unpickled")
    return "\n".join(lines)
