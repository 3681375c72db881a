"""``hubclean hf-register``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubclean.cli.options import json_option, print_result
from hubclean.escaping import printable

if TYPE_CHECKING:
    from hubclean.cli.hf_extension import Registration


@click.command("hf-register")
@click.option("--remove", is_flag=True, help="Take the registration back.")
@json_option
def hf_register(remove: bool, as_json: bool) -> None:
    """Make `hf hubclean scan org/model` mean `hubclean scan org/model`, same options, same exit code.

    Needs huggingface-hub 1.5 or later. Register again after hubclean moved to another environment.
    """
    from hubclean.cli import hf_extension

    result = hf_extension.unregister() if remove else hf_extension.register()
    print_result(result, as_json, lambda: render_registration(result))


def render_registration(result: Registration) -> str:
    """The registration in words."""
    if not result.registered:
        return f"hf hubclean is not registered any more ({printable(result.folder, 1000)})"
    text = (
        f"`hf hubclean` now runs {printable(result.runs or '', 1000)} (registered in {printable(result.folder, 1000)})"
    )
    return text if result.hf_found else text + "\nno `hf` is on your PATH: it comes with pip install huggingface-hub"
