"""``hubclean site``: where feature layer, heads and prunable units are."""

from __future__ import annotations

from pathlib import Path

import click

from hubclean.cli.options import base_option, json_option, print_result, subfolder_option


@click.command()
@click.argument("target")
@click.option("--revision", help="Branch, tag or commit.")
@click.option(
    "--hooks", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder with adapters of your own."
)
@click.option("--prove", is_flag=True, help="Fetch the weights and prove by numbers what the config promises.")
@subfolder_option
@base_option
@json_option
def site(
    target: str, revision: str | None, hooks: Path | None, prove: bool, subfolder: str, base: str | None, as_json: bool
) -> None:
    """Where TARGET's last feature layer, heads and prunable units are; built on the meta device, no weights fetched."""
    from hubclean.cli.text.site import render_site
    from hubclean.hub.subfolders import below
    from hubclean.hub.targets import open_target
    from hubclean.nets.site_report import survey, survey_checkpoint

    repo = below(open_target(target, revision), subfolder)
    if prove:
        from hubclean.nets import loading, merging
        from hubclean.nets.construction import adapters

        rows = adapters.load_adapters(hooks)
        whole = base is None and not merging.is_adapter(repo)
        loaded = (
            loading.load_checkpoint(repo, adapters=rows)
            if whole
            else merging.load_merged(repo, merging.base_of(repo, base), rows)
        )
        report = survey_checkpoint(loaded, hooks)
    else:
        report = survey(repo, hooks, base)
    print_result(report, as_json, lambda: render_site(report))
