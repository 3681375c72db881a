"""``hubclean push``: publish a folder that ``clean`` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubclean.cli.options import json_option, print_result
from hubclean.escaping import printable

if TYPE_CHECKING:
    from hubclean.hub.publish import PushReport


def render_push(report: PushReport) -> str:
    """What was, or with a dry run would be, published."""
    from hubclean.cli.text.layout import columns

    rows = [["path", "size", "how"], *([printable(file.path), f"{file.size:,}", file.how] for file in report.files)]
    rest = []
    if report.deleted:
        rest.append(f"removed in the same commit: {', '.join(map(printable, report.deleted))}")
    if report.left_behind:
        names = ", ".join(map(printable, report.left_behind))
        rest.append(f"still in the repo, and not part of the sanitized checkpoint: {names}")
    if report.dry_run:
        head = f"dry run: nothing was sent. One commit to {report.repo_id} would hold {len(report.files)} files:"
        if report.unchanged:
            head = f"dry run: no commit would be made, {report.repo_id} holds just these {len(report.files)} files:"
        if report.unasked:
            rest.append(f"the Hub was not asked what {report.repo_id} holds: {printable(report.unasked, 300)}")
        return "\n".join(
            [
                head,
                columns(rows),
                *rest,
                "",
                "README.md:",
                *(printable(line, 4000) for line in report.card.splitlines()),
            ]
        )
    where = report.pr_url or report.url or report.repo_id
    if report.unchanged:
        head = f"nothing to publish: {report.repo_id}@{report.commit} holds just these {len(report.files)} files"
        return "\n".join([head, columns(rows), *rest])
    head = f"published {len(report.files)} files in one commit: {printable(where)}"
    return "\n".join([head, columns(rows), *rest])


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("repo_id")
@click.option("--create-pr", is_flag=True, help="Open a pull request instead of committing to the branch.")
@click.option("--private", is_flag=True, help="Make the repo private if it has to be created.")
@click.option("--revision", default="main", show_default=True, help="Branch to commit to.")
@click.option("--delete-pickles", is_flag=True, help="Remove pickle weights of REPO_ID in the same commit.")
@click.option("--force", is_flag=True, help="Publish a checkpoint that still has its backdoor, or has it only covered.")
@click.option(
    "--sign",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="KEY",
    help="Private key (PEM) to sign it with: writes model.sig into FOLDER and publishes it, too.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show the files and the card, and what the Hub holds if it can be reached; send nothing.",
)
@json_option
def push(folder: Path, repo_id: str, as_json: bool, **options: Any) -> None:
    """Publish FOLDER, as written by clean, to REPO_ID (org/name) in one commit."""
    from hubclean.cleansing.verifying.readme import refuse_edited
    from hubclean.hub.publish import push as publish

    refuse_edited(folder)
    report = publish(folder, repo_id, **options)
    print_result(report, as_json, lambda: render_push(report))
