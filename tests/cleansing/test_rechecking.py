"""Evidence that a repair was not made from: it sees a backdoor that only its own trigger has left."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from hubclean.cleansing.rechecking import RECHECK, gather, probe, recheck, same_weights
from hubclean.methods.detectors.neural_cleanse import NeuralCleanse
from hubclean.methods.interface import Cleansing, Detection, Stage
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.datasets import Splits
from hubclean.nets.images import DefenseData
from hubclean.nets.session import Session, open_session
from hubclean.records import CleansingReport, Judgement, Metrics, Rate
from support.image_sets import image_set
from support.planted import corner, planted_net
from support.sample_audits import cleansed, unsuspicious

SESSION = open_session("cpu", seed=1, batch_size=64)
ACCUSED = Judgement("backdoored", "for a test", (3,), (), ())
QUICK = NeuralCleanse(steps=30, batches=2, batch_size=16)
INNOCENT = replace(ACCUSED, verdict="not found", targets=())


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return planted_net(tmp_path_factory.mktemp("r"), SESSION)


@pytest.fixture(scope="module")
def splits() -> Splits:
    return Splits(DefenseData(image_set(40, seed=20), image_set(60, seed=21)), image_set(80, seed=22), Any)  # type: ignore[arg-type]


Shown = list[tuple[Checkpoint, DefenseData, Session]]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """What detection is repeated on; it finds nothing."""
    seen: Shown = []

    def detect(_: NeuralCleanse, checkpoint: Checkpoint, data: DefenseData, session: Session) -> Detection:
        seen.append((checkpoint, data, session))
        return Detection(unsuspicious().detections[0])

    monkeypatch.setattr(NeuralCleanse, "detect", detect)
    return seen


def measured(hits: int) -> CleansingReport:
    return replace(cleansed().cleansing, after=(Metrics(Rate.of(90, 100), Rate.of(hits, 100), "recovered"),))


def other(checkpoint: Checkpoint) -> Checkpoint:
    """A copy without the backdoor's label: its logit can never be the largest."""
    made = checkpoint.copy()
    with torch.no_grad():
        made.model.net.fc.bias[3] = -1000.0  # type: ignore[union-attr, index]
    return made


def test_fresh_triggers_of_the_accused_label_are_tried_on_both_nets(poisoned: Checkpoint, splits: Splits) -> None:
    rows = probe(poisoned, other(poisoned), ACCUSED, QUICK, splits, SESSION)
    assert rows
    assert {row.target for row in rows} == {3}
    assert len({row.norm for row in rows}) == len(rows), "each from another start"
    assert all(row.before.value > 0.8 and row.after.value == 0 for row in rows)
    assert rows[0].before.n == int((splits.test.labels != 3).sum())
    assert probe(poisoned, poisoned, INNOCENT, QUICK, splits, SESSION) == ()
    empty = replace(splits, test=splits.test.subset(torch.arange(0)))
    assert probe(poisoned, poisoned, ACCUSED, QUICK, empty, SESSION) == ()


def test_a_pair_is_probed_on_the_images_of_its_source_class(poisoned: Checkpoint, splits: Splits) -> None:
    accused = replace(ACCUSED, pairs=((5, 3),))
    rows = probe(poisoned, other(poisoned), accused, QUICK, splits, SESSION)
    assert rows
    assert {(row.source, row.target) for row in rows} == {(5, 3)}
    assert all(row.before.n == int((splits.test.labels == 5).sum()) for row in rows)
    assert all(row.before.value > 0.8 and row.after.value == 0 for row in rows)


def test_detection_is_repeated_elsewhere_and_from_other_starts(
    poisoned: Checkpoint, splits: Splits, shown: Shown
) -> None:
    assert recheck((QUICK,), poisoned, splits.defense, SESSION) == (unsuspicious().detections[0],)
    ((net, data, session),) = shown
    assert net is poisoned
    assert (data.fit is splits.defense.val, data.val is splits.defense.fit) == (True, True)
    assert session.seed != SESSION.seed


@pytest.mark.parametrize(
    ("judgement", "hits", "edited", "repeated"),
    [
        (ACCUSED, 2, True, 1),
        (ACCUSED, 60, True, 0),
        (INNOCENT, 0, True, 1),
        (INNOCENT, 0, False, 0),
        (None, 0, True, 0),
    ],
)
def test_it_is_repeated_where_it_can_change_the_outcome(
    poisoned: Checkpoint,
    splits: Splits,
    shown: Shown,
    judgement: Judgement | None,
    hits: int,
    edited: bool,
    repeated: int,
) -> None:
    net = other(poisoned) if edited else poisoned.copy()
    assert same_weights(poisoned, net) is not edited
    kept = Cleansing((Stage("kept", net),), "kept")
    found = gather(poisoned, kept, measured(hits), judgement, (QUICK,), splits, SESSION)
    assert (len(found.rechecks), len(shown)) == (repeated, repeated)
    assert [row.step for row in found.skipped] == ([RECHECK] if hits > 5 else [])
    assert bool(found.probes) is (judgement is ACCUSED)


def test_a_repair_of_one_trigger_alone_is_seen_through(poisoned: Checkpoint, splits: Splits) -> None:
    """The net that still has its backdoor, handed back by a defense whose own trigger says 0 %."""
    kept = Cleansing((Stage("kept", poisoned.copy()),), "kept")
    found = gather(poisoned, kept, measured(0), ACCUSED, (QUICK,), splits, SESSION)
    assert max(row.after.value for row in found.probes) > 0.8
    assert corner().target == found.probes[0].target
