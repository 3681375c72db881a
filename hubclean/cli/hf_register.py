"""``hubclean hf-register``."""

from __future__ import annotations

import click

from hubclean.cli.options import json_option, print_result


@click.command("hf-register")
@click.option("--remove", is_flag=True, help="Take the registration back.")
@json_option
def hf_register(remove: bool, as_json: bool) -> None:
    """Make `hf hubclean scan org/model` mean `hubclean scan org/model`, same options, same exit code.

    Needs huggingface-hub 1.5 or later. Register again after hubclean moved to another environment.
    """
    from hubclean.cli import hf_extension

    result = hf_extension.unregister() if remove else hf_extension.register()
    print_result(result, as_json, lambda: hf_extension.render(result))
