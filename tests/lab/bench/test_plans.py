"""Plans of the bench, from files and options, and what is wrong with one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from hubclean.errors import OptionError
from hubclean.lab.bench import run as command
from hubclean.lab.bench.plans import Method, Plan, read_plan
from support.bench_plan import SMALL


def test_the_plan_says_how_long_nets_train() -> None:
    plan = dataclasses.replace(SMALL, epochs=3)
    assert [net.schedule.epochs for _, net, _, _ in plan.models()] == [3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nets": ("no-such",)}, "no net named 'no-such'"),
        ({"nets": ("timm/no-such",)}, "no net named"),
        ({"attacks": ("badnets:rat=1",)}, "no option 'rat'"),
        ({"attacks": ("badnets:rate",)}, "KEY=VALUE"),
        ({"defenses": ("magic",)}, "no defense named 'magic'"),
        ({"fit": 0}, "at least 1"),
    ],
)
def test_a_wrong_plan_is_refused_before_any_work(change: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        dataclasses.replace(SMALL, **change).checked()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data = 3", "data is a list of str"),
        ("dat = []", "unknown key 'dat'"),
        ("[", "is no plan"),
        ('train = "x"', "int"),
    ],
)
def test_a_wrong_plan_file_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(text)
    with pytest.raises(OptionError, match=message):
        read_plan(tmp_path / "plan.toml")


def test_a_plan_file_is_read_and_options_override_it(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text('data = ["x"]\nseeds = [3, 4]\nattacks = ["sig"]\nretune = true\n')
    plan = read_plan(tmp_path / "plan.toml")
    assert plan == Plan(("x",), attacks=("sig",), seeds=(3, 4), retune=True)
    merged = command.merged_plan(plan, {"attacks": ("bpp",), "nets": (), "seeds": 2, "train": None})
    assert (merged.attacks, merged.nets, merged.seeds) == (("bpp",), plan.nets, (0, 1))


def test_a_method_carries_its_options() -> None:
    made = Method.of("attacks", "badnets:rate=0.25,mode=all-to-all").build()
    assert (made.rate, made.mode) == (0.25, "all-to-all")
