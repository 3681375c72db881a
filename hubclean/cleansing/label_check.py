"""Before anything is tuned: does the model answer these images with these labels? Else they are not its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from math import comb

import torch
from torch import Tensor

from hubclean.errors import LabelError
from hubclean.escaping import printable
from hubclean.label_records import ClassMatch, LabelCheck
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.datasets import Splits
from hubclean.nets.labels.map_files import Target, as_text
from hubclean.nets.labels.spelling import plain
from hubclean.nets.metrics import predictions
from hubclean.nets.session import Session
from hubclean.records import Rate

_MOST = 1000  # images in each half
_SHUFFLES = 999
_LEVEL = 0.01  # share of shuffled labels that may do as well as the true ones
# Cohen's kappa below which answers agree with labels slightly at best (Landis and Koch 1977).
_SLIGHT = 0.2
_CONSTANT = 0.95  # share of one answer from which a model says the same of everything
_SURE = 0.001  # chance that a permutation carries over to the other half by luck
_CARRIED = 0.3  # share of the images of permuted classes that are answered as the permutation says


@dataclass(frozen=True)
class Answers:
    """Labels and the model's answers ``(n,)`` of some images."""

    labels: Tensor
    answers: Tensor

    @property
    def counts(self) -> dict[int, Counter[int]]:
        """How often each class got each answer."""
        rows: dict[int, Counter[int]] = {}
        for label, answer in zip(self.labels.tolist(), self.answers.tolist(), strict=True):
            rows.setdefault(label, Counter())[answer] += 1
        return rows


def check_labels(checkpoint: Checkpoint, splits: Splits, session: Session, accept: bool = False) -> LabelCheck | None:
    """Measure the original on ``fit`` and ``val``, up to 1,000 each, with images of ``test`` where these are fewer.

    Args:
        accept: go on with labels in doubt; the report says so.

    Returns:
        What was measured; ``None`` for images without labels.

    Raises:
        LabelError: the answers are no better than chance, or a permutation of the labels; it names it.
    """
    if not splits.labelled or not len(splits.defense.fit):
        return None
    halves = []
    for number, part in enumerate((splits.defense.fit, splits.defense.val)):
        more = torch.arange(number, len(splits.test), 2)[: max(_MOST - len(part), 0)]
        sets = [part.subset(torch.arange(min(_MOST, len(part)))), splits.test.subset(more)]
        answers = [predictions(checkpoint.model, images, session) for images in sets if len(images)]
        halves.append(Answers(torch.cat([images.labels for images in sets]), torch.cat(answers)))
    found, chance, moved = judged(*halves)
    check = replace(found, doubt=_doubt(halves, found, chance, moved, checkpoint.labels))
    if check.doubt and not accept:
        label_map = _mended(splits.report.matches, moved, checkpoint.labels)
        how = "with the map below, --label-map" if label_map else "--label-map or --labels-by"
        raise LabelError(
            f"the images or their labels are not this model's: {check.doubt}; nothing was changed (check the labels, "
            f"{how}; --accept-accuracy goes on all the same)",
            label_map,
        )
    return check


def judged(one: Answers, other: Answers) -> tuple[LabelCheck, bool, dict[int, int]]:
    """What answers are worth against labels, and the permutation that they are.

    Args:
        one, other: two disjoint halves: a permutation is found in one and must hold in the other, so that classes with
            a few images do not make one up.

    Returns:
        The measures; whether accuracy is at chance, or hardly above; the label that each permuted class is answered
        with.
    """
    labels, answers = torch.cat([one.labels, other.labels]), torch.cat([one.answers, other.answers])
    count = len(labels)
    hits = int((labels == answers).sum())
    true, said = Counter(labels.tolist()), Counter(answers.tolist())
    chance = sum(n * said[label] for label, n in true.items()) / count**2
    right = Counter(labels[labels == answers].tolist())
    recalls = [right[label] / n for label, n in true.items()]
    accuracy = Rate.of(hits, count)
    check = LabelCheck(accuracy, sum(recalls) / len(recalls), chance, max(true.values()) / count)
    at_chance = accuracy.high - chance < _SLIGHT * (1 - chance) or _by_luck(labels, answers, hits) > _LEVEL
    return check, at_chance, permutation(one, other)


def _by_luck(labels: Tensor, answers: Tensor, hits: int) -> float:
    """The share of shuffles of the labels that agree with the answers at least as often; the true order counts."""
    generator = torch.Generator().manual_seed(0)
    as_good = sum(
        int((labels[torch.randperm(len(labels), generator=generator)] == answers).sum()) >= hits
        for _ in range(_SHUFFLES)
    )
    return (1 + as_good) / (1 + _SHUFFLES)


def permutation(one: Answers, other: Answers) -> dict[int, int]:
    """Classes whose images are answered with the label of another class, each with one of its own; empty if none.

    A class counts where most of its images get one wrong answer, most images with that answer are its own, that holds
    in both halves, and the label that it is answered with is a permuted class, too, or has no images. Two at least,
    and together they must be beyond luck in the second half.
    """
    counts = other.counts
    again = _moved(counts)
    kept = _chained({a: b for a, b in _moved(one.counts).items() if again.get(a) == b}, set(counts))
    if len(kept) < 2:
        return {}
    as_said = sum(counts[a][b] for a, b in kept.items())
    as_labelled = sum(counts[a][a] for a in kept)
    images = sum(sum(counts[a].values()) for a in kept)
    if as_said < _CARRIED * images or as_said < 2 * as_labelled or _tail(as_said, as_said + as_labelled) > _SURE:
        return {}
    return kept


def _moved(counts: dict[int, Counter[int]]) -> dict[int, int]:
    """Classes whose most frequent answer is the label of another class and comes from none as often as from them."""
    best: dict[int, tuple[float, int]] = {}
    for label, row in counts.items():
        total = sum(row.values())
        for answer, count in row.items():
            best[answer] = max(best.get(answer, (0.0, -1)), (count / total, label))
    modes = {label: row.most_common(1)[0][0] for label, row in counts.items()}
    return {a: b for a, b in modes.items() if a != b and best[b][1] == a}


def _chained(moved: dict[int, int], classes: set[int]) -> dict[int, int]:
    """Without links to a class that is answered as it should be, and without links that hang on no other."""
    while loose := [a for a, b in moved.items() if b in classes and b not in moved]:
        moved = {a: b for a, b in moved.items() if a not in loose}
    targets = set(moved.values())
    return {a: b for a, b in moved.items() if b in moved or a in targets}


def _tail(hits: int, trials: int) -> float:
    """The chance of so many heads or more."""
    if trials > 500:
        z = (hits - trials / 2 - 0.5) / (trials**0.5 / 2)
        return 0.0 if z > 4 else 1.0
    return float(sum(comb(trials, k) for k in range(hits, trials + 1)) / 2**trials)


def _doubt(
    halves: list[Answers], check: LabelCheck, at_chance: bool, moved: dict[int, int], labels: tuple[str, ...]
) -> str:
    """In words, why labels and answers do not belong together; empty if they do."""
    right = f"it is right on {check.accuracy.value:.1%} of {check.accuracy.n}"
    if moved:
        return f"{right}, and what it answers is a permutation of the labels: {_permuted(moved, labels)}"
    if not at_chance:
        return ""
    answers = Counter(torch.cat([half.answers for half in halves]).tolist())
    answer, often = answers.most_common(1)[0]
    if often >= _CONSTANT * check.accuracy.n and len(labels) > 1:
        said = f"it answers {_named(answer, labels)} for {often / check.accuracy.n:.1%} of them"
        return f"{said} ({right}, {check.balanced:.1%} of a class in the mean)"
    return (
        f"{right} ({check.balanced:.1%} of a class in the mean), where answers that know nothing of the images reach "
        f"{check.chance:.1%} and one answer for all {check.majority:.1%}"
    )


def _permuted(moved: dict[int, int], labels: tuple[str, ...]) -> str:
    shown = [f"{_named(a, labels)} is answered {_named(b, labels)}" for a, b in list(moved.items())[:4]]
    return ", ".join(shown) + (f" and {len(moved) - 4} more" if len(moved) > 4 else "")


def _named(label: int, labels: tuple[str, ...]) -> str:
    return f"{label} ({printable(labels[label], 40)!r})"


def _mended(matches: tuple[ClassMatch, ...], moved: dict[int, int], labels: tuple[str, ...]) -> str:
    """A label map that undoes the permutation."""
    if not moved or not matches:
        return ""

    often = Counter(map(plain, labels))

    def target(label: int | None) -> Target:
        if label is None:
            return None
        place = moved.get(label, label)
        name = plain(labels[place])
        return name if name and often[name] == 1 else place

    return as_text((one.name, target(one.label)) for one in matches)
