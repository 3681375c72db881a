"""What may pass and who loads: options of every command that scans before it does anything else, and their file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from hubclean.scanning.policy.effective import Policy, Wishes
    from hubclean.scanning.policy.search import Search

F = TypeVar("F", bound=Callable[..., Any])
LOADERS = ["transformers", "timm", "peft", "open_clip", "torch", "all"]
LEVELS = ["info", "low", "medium", "high", "critical"]
_NAMES = ("fail_on", "loader", "allow", "allow_unchecked", "config", "no_config")


def policy_options(command: F) -> F:
    """The options; what they say is taken out of the command's arguments by ``taken``."""
    for option in reversed(
        [
            click.option(
                "--for",
                "loader",
                type=click.Choice(LOADERS),
                help="Who loads it; all = every file counts  [default: the library the repo is for]",
            ),
            click.option(
                "--fail-on",
                type=click.Choice(LEVELS),
                help="Findings from this level on give exit code 1.  [default: high]",
            ),
            click.option(
                "--allow",
                multiple=True,
                metavar="NAME",
                help="One exact name that pickles may hold, e.g. timm.models.resnet.ResNet; recorded in the report.",
            ),
            click.option(
                "--allow-unchecked",
                multiple=True,
                metavar="PATTERN",
                help="Files that may stay unchecked, e.g. '*.onnx'; recorded in the report.",
            ),
            click.option(
                "--config",
                type=click.Path(path_type=Path),
                metavar="FILE",
                help="Settings under these flags  [default: hubclean.toml or pyproject.toml, from here up to the "
                "root of the repository]",
            ),
            click.option("--no-config", is_flag=True, help="Read no settings."),
        ]
    ):
        command = option(command)
    return command


def baseline_option(command: F) -> F:
    """``--baseline`` of commands whose result is not published."""
    return click.option(
        "--baseline",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Accepted findings, which do not count while their files are unchanged (see hubclean baseline).",
    )(command)


def taken(options: dict[str, Any]) -> tuple[Search, Wishes]:
    """Take the options out of a command's arguments: where settings come from, and what was asked for.

    Raises:
        OptionError: an allowed name is none, or both ``--config`` and ``--no-config`` are given.
    """
    from hubclean.scanning.pickles.allowed_names import check_names
    from hubclean.scanning.policy.effective import Wishes
    from hubclean.scanning.policy.search import Search

    gate, loader, allow, unchecked, config, off = (options.pop(name) for name in _NAMES)
    baseline = options.pop("baseline", None)
    check_names(allow)
    return Search(config, off), Wishes(gate, loader, allow, unchecked, str(baseline or ""))


def judged_by(policy: Policy) -> dict[str, Any]:
    """The arguments of a scan that a policy gives."""
    return {
        "gate": policy.gate,
        "loader": policy.loader,
        "allow": policy.allow,
        "allow_unchecked": policy.allow_unchecked,
    }
