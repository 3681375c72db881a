"""``auto``: what it tries, by what it judges, what it keeps. The defenses it tries are stand-ins in the registry."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
import torch
from torch import nn

from hubclean import registry
from hubclean.errors import ModelError, OptionError
from hubclean.methods.defenses.auto import Auto
from hubclean.methods.interface import Cleansing, Stage
from hubclean.methods.inversion.invert import Inverted
from hubclean.nets import loading
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData
from hubclean.nets.session import Session, open_session
from hubclean.nets.triggers import Trigger
from hubclean.registry import Doc
from support.image_sets import image_set

SHAPE = (1, 8, 8)
IMAGES = image_set(200, 4, SHAPE)
DATA = DefenseData(IMAGES.subset(torch.arange(100)), IMAGES.subset(torch.arange(100, 200)))


class Leaky(nn.Module):
    """Right on a share of clean images; a bright first pixel leads a share of images to class 2."""

    def __init__(self, accuracy: float, asr: float) -> None:
        super().__init__()
        self.head = nn.Linear(64, 4)
        with torch.no_grad():
            self.head.weight.fill_(0.01)
            self.head.bias.zero_()
        self.register_buffer("accuracy", torch.tensor(accuracy))
        self.register_buffer("asr", torch.tensor(asr))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        flat = images.flatten(1)
        places = flat.view(-1, 8, 8)[:, 0, [0, 2, 4, 6]] + flat.view(-1, 8, 8)[:, 1, [0, 2, 4, 6]]
        draw = (flat.sum(1) * 7919).frac().abs()  # alike for alike images
        logits = 10 * places.softmax(1) * (draw < self.accuracy)[:, None] + 0 * self.head(flat)
        triggered = (images[:, 0, 7, 7] > 0.99) & (draw < self.asr)
        return torch.where(triggered[:, None], 50.0 * torch.eye(4)[2], logits + 1e-3 * torch.eye(4)[3])


def net(accuracy: float, asr: float) -> Checkpoint:
    labels = tuple("abcd")
    return loading.wrap(Leaky(accuracy, asr), mean=(0.0,), std=(1.0,), input_size=SHAPE, labels=labels, name="leaky")


def trigger() -> Trigger:
    mask = torch.zeros(1, 8, 8)
    mask[:, 7, 7] = 1
    return Trigger(mask, torch.ones(SHAPE), 2)


def standing(name: str, *stages: tuple[str, float, float], fails: bool = False) -> type:
    """A registered defense that hands back nets of given accuracy and ASR."""

    @dataclass(frozen=True)
    class Standing:
        """Stands in for a defense."""

        paper: ClassVar[str] = "none"
        needs: ClassVar[str] = "labels"
        calls: ClassVar[list[Any]] = []

        def cleanse(self, checkpoint: Checkpoint, data: DefenseData, triggers: Any, session: Session) -> Cleansing:
            type(self).calls.append(triggers)
            if fails:
                raise ModelError("its units cannot be cut")
            made = tuple(Stage(n, net(accuracy, asr)) for n, accuracy, asr in stages)
            return Cleansing(made, made[0].name, notes=(f"{name} ran",), passes=100)

    Standing.name = name  # type: ignore[attr-defined]
    return Standing


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    def go(*defenses: type, triggers: tuple[Trigger, ...] = (trigger(),), **options: Any) -> Cleansing:
        known = {d.name: d for d in defenses} | {"auto": Auto}  # type: ignore[attr-defined]
        monkeypatch.setattr(registry, "methods", lambda kind: known)
        monkeypatch.setattr("hubclean.methods.defenses.auto.methods", lambda kind: known)
        auto = Auto(**{"order": ",".join(name for name in known if name != "auto"), "fresh": 0, **options})
        return auto.cleanse(net(1.0, 1.0), DATA, triggers, open_session("cpu"))

    return go


def test_the_tolerance_reaches_the_defenses_that_have_one(run: Any) -> None:
    @dataclass(frozen=True)
    class Careful(standing("careful", ("all", 1.0, 0.5))):  # type: ignore[misc]
        """Has a tolerance of its own."""

        max_drop: Annotated[float, Doc("largest loss", 0.0, 1.0)] = 0.5

        def cleanse(self, checkpoint: Checkpoint, data: DefenseData, triggers: Any, session: Session) -> Cleansing:
            given.append(self.max_drop)
            done: Cleansing = super().cleanse(checkpoint, data, triggers, session)
            return done

    given: list[float] = []
    run(Careful, standing("other", ("all", 1.0, 0.5)), max_drop=0.125)
    assert given == [0.125]


def test_out_of_memory_in_one_defense_leaves_the_others(run: Any) -> None:
    class Hungry(standing("hungry")):  # type: ignore[misc]
        """Takes more than there is."""

        def cleanse(self, *_: Any) -> Cleansing:
            raise torch.OutOfMemoryError("tried to allocate 2 GiB")

    result = run(standing("good", ("all", 1.0, 0.5)), Hungry)
    assert result.kept == "good all"
    assert "failed: tried to allocate" in result.trials[-1].note


def test_the_lowest_asr_within_the_tolerance_is_kept(run: Any) -> None:
    strong = standing("strong", ("all", 0.5, 0.0))  # removes all, and half of the accuracy
    good = standing("good", ("pruned", 1.0, 0.4), ("tuned", 1.0, 0.1))
    weak = standing("weak", ("all", 1.0, 0.8))
    result = run(weak, strong, good)
    assert result.kept == "good tuned"
    assert [(row.defense, row.stage, row.accepted) for row in result.trials] == [
        ("weak", "all", True),
        ("strong", "all", False),
        ("good", "pruned", True),
        ("good", "tuned", True),
    ]
    assert result.trials[1].drop > 0.3
    assert result.trials[0].asr > result.trials[2].asr > result.trials[3].asr
    assert result.passes == 300
    assert "good ran" in result.notes


def test_it_stops_once_little_is_left(run: Any) -> None:
    enough, later = standing("enough", ("all", 1.0, 0.0)), standing("later", ("all", 1.0, 0.0))
    result = run(enough, later)
    assert result.kept == "enough all"
    assert later.calls == []  # type: ignore[attr-defined]
    assert any("1 of the defenses" in note for note in result.notes)


def test_it_is_judged_by_triggers_that_no_defense_sees(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defense that removed the recovered trigger alone is not taken for one that removed the backdoor."""
    asked: list[Any] = []
    hidden = replace(trigger(), pattern=torch.full(SHAPE, 0.995))  # the net answers to it as well

    def invert(model: nn.Module, images: Any, aims: list[int], *rest: Any) -> Any:
        asked.append((images, aims, rest[-1]))
        return {2: Inverted(hidden, 1.0, True, 1)}, 7

    monkeypatch.setattr("hubclean.methods.inversion.anew.invert", invert)
    kind = standing("narrow", ("all", 1.0, 0.9))
    shown = replace(trigger(), pattern=torch.zeros(SHAPE))  # the recovered one no longer works
    result = run(kind, triggers=(shown,), fresh=2)
    assert result.trials[0].asr > 0.5
    assert [(aims, seed) for _, aims, seed in asked] == [([2], 201), ([2], 202)]
    assert all(images is DATA.val for images, _, _ in asked)
    assert kind.calls == [(shown,)]  # type: ignore[attr-defined]
    assert result.passes == 100 + 2 * 7


def test_it_begins_nothing_after_its_budget(run: Any) -> None:
    one, two = standing("one", ("all", 1.0, 0.9)), standing("two", ("all", 1.0, 0.0))
    result = run(one, two, budget=0.0)
    assert two.calls == []  # type: ignore[attr-defined]
    assert len(result.trials) <= 1


def test_a_defense_that_fails_is_a_row_and_the_next_is_tried(run: Any) -> None:
    result = run(standing("broken", fails=True), standing("good", ("all", 1.0, 0.0)))
    assert result.kept == "good all"
    assert result.trials[0].note == "failed: its units cannot be cut"
    assert not result.trials[0].accepted


def test_nothing_within_the_tolerance_leaves_the_checkpoint(run: Any) -> None:
    result = run(standing("harsh", ("all", 0.2, 0.0)))
    assert result.kept == "unchanged"
    assert "unchanged" in result.notes[0]
    assert result.trials[0].asr is not None


def test_an_unchanged_copy_is_no_cleansing(run: Any) -> None:
    idle, good = standing("idle", ("unchanged", 1.0, 0.0)), standing("good", ("all", 1.0, 0.3))
    assert run(idle, good).kept == "good all"


def test_without_triggers_the_first_accepted_defense_is_kept(run: Any) -> None:
    first, second = standing("first", ("all", 0.98, 1.0)), standing("second", ("all", 1.0, 0.0))
    result = run(first, second, triggers=())
    assert result.kept == "first all"
    assert second.calls == []  # type: ignore[attr-defined]
    assert result.trials[0].asr is None


def test_without_triggers_sau_goes_before_the_default_order(run: Any) -> None:
    order = Auto().order
    for triggers, given, kept in (
        ((), order, "sau all"),
        ((), f"{order},none", "fine-pruning all"),
        ((trigger(),), order, "fine-pruning all"),
    ):
        names = {*given.split(","), "sau"}
        result = run(*(standing(name, ("all", 0.98, 0.0)) for name in names), triggers=triggers, order=given)
        assert result.kept == kept


@pytest.mark.parametrize("order", ["", "auto", "fine-pruning,no-such", "none,auto"])
def test_an_order_that_cannot_be_is_refused(order: str) -> None:
    with pytest.raises(OptionError, match="must name defenses among"):
        Auto(order=order).cleanse(net(1.0, 1.0), DATA, (), open_session("cpu"))


def test_the_default_order_names_registered_defenses() -> None:
    assert set(Auto().order.split(",")) <= registry.methods("defenses").keys()


def test_auto_on_the_command_line_writes_its_trials(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from hubclean import resources
    from hubclean.cli.main import main
    from hubclean.records import Audit, from_json
    from support.tiny_models import make_repo

    make_repo(tmp_path / "model", "timm-efficientnet")
    data = str(resources.data_folder("demo_images") / "mnist")
    words = ["clean", str(tmp_path / "model"), "--data", data, "--out", str(tmp_path / "out"), "--detector", "skip"]
    words += [
        "--labels-by",
        "number",
        "--accept-accuracy",
        "--defense",
        "auto",
        "-o",
        "order=none,fine-pruning",
        "--fit",
        "40",
        "--val",
        "40",
        "--test",
        "40",
    ]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2, result.output  # no detector, no verdict
    import json

    audit = from_json(Audit, json.loads((tmp_path / "out" / "hubclean" / "audit.json").read_text()))
    assert audit.cleansing.defense == "auto"
    assert {row.defense for row in audit.cleansing.trials} == {"none", "fine-pruning"}
    card = (tmp_path / "out" / "README.md").read_text()
    assert "fine-pruning" in card.split("What was tried")[1]
