"""The command line: parse, call, print, exit code. Results go to stdout, everything else to stderr.

Exit codes: 0 clean, 1 findings, 2 no verdict (an error, bad input, or something could not be checked).
"""

from __future__ import annotations

import contextlib
import difflib
import signal
import threading
from collections.abc import Iterator
from typing import Any

import click

from hubclean.cli import ballots
from hubclean.cli.baseline import baseline
from hubclean.cli.bench import bench
from hubclean.cli.clean import clean
from hubclean.cli.convert import convert
from hubclean.cli.demo import demo
from hubclean.cli.download import download
from hubclean.cli.hf_register import hf_register
from hubclean.cli.methods import methods
from hubclean.cli.push import push
from hubclean.cli.rules import rules
from hubclean.cli.scan import scan
from hubclean.cli.site import site
from hubclean.cli.verify import verify
from hubclean.version import __version__
from hubclean.wording import typed

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class _Group(click.Group):
    """Turns every failure into one sentence on stderr and exit code 2."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:  # click before 8.4 names no command that may have been meant
            close = difflib.get_close_matches(args[0], self.commands, 1)
            if close and "Did you mean" not in error.format_message():
                raise click.UsageError(f"{error.format_message()} Did you mean {close[0]!r}?", ctx) from error
            raise

    def invoke(self, ctx: click.Context) -> Any:
        from hubclean.cli.text.errors import complain, harmless_streams

        harmless_streams()
        try:
            with typed(), _terminable():
                return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except (KeyboardInterrupt, click.Abort):
            complain("interrupted; nothing was left half-written")
        except Exception as error:
            complain(error, f"hubclean {ctx.invoked_subcommand}")
        ctx.exit(2)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does, so that half a folder or an empty repo is taken back."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


@click.group(cls=_Group, context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="hubclean")
def main() -> None:
    """Scan, cleanse and republish image classifiers of the Hugging Face Hub.

    A checkpoint can hurt by code (pickles, custom Python, configs that load it) and by weights (a backdoor). Exit
    codes: 0 clean, 1 findings, 2 no verdict (an error, bad input, or something could not be checked).
    """


COMMANDS = (
    *(scan, baseline, download, convert, site, clean),
    *(ballots.rank, ballots.tally, ballots.feedback),
    *(push, verify, hf_register, rules, methods, bench, demo),
)
for command in COMMANDS:
    main.add_command(command)
