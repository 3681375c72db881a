"""Rewrites the help blocks of README.md: ``python -m tools.readme_help``."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner

from hubclean.cli.main import main

if __name__ == "__main__":
    place = Path(__file__).parents[1] / "README.md"
    text = place.read_text()
    for command in main.commands:
        shown = CliRunner().invoke(main, [command, "--help"], prog_name="hubclean", terminal_width=100).output.strip()
        block = f"<!-- help: {command} -->\n```text\n{shown}\n```"
        text = re.sub(
            rf"<!-- help: {command} -->\n```text\n.*?```", lambda _, block=block: block, text, flags=re.DOTALL
        )
    place.write_text(text)
