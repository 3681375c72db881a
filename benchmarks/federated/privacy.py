"""What a ballot tells of its owner's labels: guesses of an attacker who trains on ballots of made-up participants.

    python -m benchmarks.federated.privacy --shared ../shared/data --out benchmarks/results/federated_privacy.json

Asked of one ballot: is a label among the participant's images (AUC, mean over the labels), and which label has most of
them (AUC of each label against the rest, mean; and how often the best guess is right). The attacker holds the same
checkpoint and other images of the same kind, deals them to shadow participants in the way of the victims, ranks with
the victims' own code, and fits a linear model (logistic regression, L2) to ranks or votes. That is a simple attacker: a
better one guesses no worse. 0.5 is what guessing blindly gives. Intervals: 95 %, bootstrap over victims and seeds.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from benchmarks.federated.cells import BEFORE, CLASSES, Setting, loaded, trained
from benchmarks.federated.grid import arguments
from hubclean.methods.voting import noise, participant, votes
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import ImageSet
from hubclean.nets.session import Session, open_session

MODEL = Setting("fashion_mnist", "dba", 10, 0.0, 0.5, 0, 3, 4, 4000, False)
IMAGES, SHADOWS, VICTIMS, SEEDS, ALPHA, LABELS_EACH = 100, 2000, 500, 3, 0.5, 2
RATES, EPSILONS = (0.1, 0.25, 0.5, 0.75), (128.0, 32.0, 8.0)
Shown = Callable[[Tensor], list[tuple[int, ...]]]


@dataclass(frozen=True)
class Crowd:
    """Many participants: images of each label ``(m, k)`` and activity of each unit ``(m, u)``."""

    counts: Tensor
    activity: Tensor


def unit_activity(checkpoint: Checkpoint, images: ImageSet, session: Session) -> Tensor:
    """Mean activation of every unit of the last convolution on each image ``(n, u)``; checked against hubclean's own.

    Raises:
        AssertionError: the mean over images is not what a participant would measure.
    """
    seen: list[Tensor] = []
    units = participant.units_at(checkpoint, "conv")
    net = checkpoint.model.get_submodule("net")
    hook = net.get_submodule("head").register_forward_pre_hook(  # where hubclean reads the units: behind the pooling
        lambda module, given: seen.append(given[0].view(len(given[0]), units.count, -1).mean(2).double().cpu())
    )
    with torch.no_grad():
        for pixels, _ in images.batches(session.batch_size, session.device):
            checkpoint.model(pixels)
    hook.remove()
    found = torch.cat(seen)
    few = images.subset(torch.arange(IMAGES))
    own = torch.tensor(participant.activity(checkpoint, units, few, session), dtype=torch.float64)
    assert torch.allclose(own, found[:IMAGES].mean(0), rtol=1e-5, atol=1e-6)
    return found


def dealt(labels: Tensor, activity: Tensor, split: str, count: int, seed: int) -> Crowd:
    """Participants with ``IMAGES`` images each: ``shards`` of a few labels, or Dirichlet label shares."""
    generator = torch.Generator().manual_seed(seed)
    rows = [(labels == label).nonzero().flatten() for label in range(CLASSES)]
    counts, found = torch.zeros(count, CLASSES, dtype=torch.int64), []
    for place in range(count):
        if split == "shards":
            share = torch.zeros(CLASSES)
            share[torch.randperm(CLASSES, generator=generator)[:LABELS_EACH]] = 1 / LABELS_EACH
        else:
            share = torch._standard_gamma(torch.full((CLASSES,), ALPHA), generator=generator).clamp(min=1e-9)
        drawn = torch.multinomial(share, IMAGES, replacement=True, generator=generator)
        counts[place] = torch.bincount(drawn, minlength=CLASSES)
        own = [
            one[torch.randperm(len(one), generator=generator)[:number]]
            for one, number in zip(rows, counts[place].tolist(), strict=True)
        ]
        found.append(activity[torch.cat(own)].mean(0))
    return Crowd(counts, torch.stack(found))


def ballots(epsilon: float | None, scheme: str, rate: float, generator: random.Random) -> Shown:
    """What participants of these activities hand in."""

    def shown(activity: Tensor) -> list[tuple[int, ...]]:
        rows = activity.tolist()
        if scheme == "rap":
            return [votes.ranks(row) for row in rows]
        made = [votes.votes_of(row, rate) for row in rows]
        return made if epsilon is None else [noise.private(one, epsilon, generator) for one in made]

    return shown


def guesses(shadows: Tensor, answers: Tensor, victims: Tensor, one: bool, decay: float = 1e-3) -> Tensor:
    """Scores ``(victims, k)`` of a linear model fitted to the shadows' ballots ``(m, u)``.

    Args:
        answers: which labels are there ``(m, k)``; with ``one`` the label with most images ``(m,)``.
        decay: weight of the squared weights.
    """
    middle, spread = shadows.mean(0), shadows.std(0).clamp(min=1e-6)
    inputs, model = (shadows - middle) / spread, torch.nn.Linear(shadows.shape[1], CLASSES)
    torch.nn.init.zeros_(model.weight), torch.nn.init.zeros_(model.bias)
    steps = torch.optim.LBFGS(model.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        steps.zero_grad()
        logits = model(inputs)
        loss = (
            functional.cross_entropy(logits, answers)
            if one
            else functional.binary_cross_entropy_with_logits(logits, answers.float())
        )
        loss = loss + decay * model.weight.square().sum()
        loss.backward()
        return loss

    steps.step(closure)
    with torch.no_grad():
        return model((victims - middle) / spread).double()


def auc(scores: Tensor, truth: Tensor) -> float:
    """Mean over labels of the area under the ROC curve ``(n, k)``; labels that all or none have are left out."""
    found = []
    for column, true in zip(scores.T, truth.T, strict=True):
        good, bad = column[true], column[~true]
        if len(good) and len(bad):
            order = (good[:, None] > bad[None]).double() + 0.5 * (good[:, None] == bad[None]).double()
            found.append(float(order.mean()))
    return sum(found) / len(found)


def interval(scores: list[Tensor], truth: list[Tensor], draws: int = 200) -> tuple[float, float]:
    """95 % interval of the mean AUC over seeds, victims and seeds drawn again."""
    generator, found = torch.Generator().manual_seed(0), []
    for _ in range(draws):
        rows = []
        for place in torch.randint(0, len(scores), (len(scores),), generator=generator).tolist():
            own = torch.randint(0, len(scores[place]), (len(scores[place]),), generator=generator)
            rows.append(auc(scores[place][own], truth[place][own]))
        found.append(sum(rows) / len(rows))
    low, high = torch.tensor(found).quantile(torch.tensor([0.025, 0.975])).tolist()
    return round(low, 4), round(high, 4)


def row(
    split: str, scheme: str, rate: float | None, epsilon: float | None, crowds: list[tuple[Crowd, Crowd]]
) -> dict[str, Any]:
    """One kind of ballot, over all seeds."""
    presence, largest, hits = [], [], 0
    truths: tuple[list[Tensor], list[Tensor]] = ([], [])
    for seed, (shadows, victims) in enumerate(crowds):
        shown = ballots(epsilon, scheme, rate or 0.5, random.Random(seed))
        known, seen = (torch.tensor(shown(one.activity), dtype=torch.float32) for one in (shadows, victims))
        presence.append(guesses(known, shadows.counts > 0, seen, False))
        largest.append(guesses(known, shadows.counts.argmax(1), seen, True))
        most = victims.counts.argmax(1)
        hits += int((largest[-1].argmax(1) == most).sum())
        truths[0].append(victims.counts > 0)
        truths[1].append(functional.one_hot(most, CLASSES).bool())
    said: dict[str, Any] = {"split": split, "scheme": scheme, "rate": rate, "epsilon": epsilon}
    for name, scores, truth in (("presence", presence, truths[0]), ("largest", largest, truths[1])):
        mean = sum(auc(one, true) for one, true in zip(scores, truth, strict=True)) / SEEDS
        said[name] = {"auc": round(mean, 4), "interval": interval(scores, truth)}
    said["largest"]["right"] = round(hits / (SEEDS * VICTIMS), 4)
    return said


def main() -> None:
    """Measure and write."""
    given = arguments(__doc__).parse_args()
    session = open_session("cpu", MODEL.seed, 512)
    checkpoint = trained(MODEL, loaded(given.shared, MODEL, given.models), session, given.models)
    every = ImageSet(**load_file(given.models / f"{MODEL.data}-train.safetensors"))
    order = torch.randperm(len(every), generator=torch.Generator().manual_seed(0))[
        MODEL.images + BEFORE :
    ]  # unseen in training
    images = every.subset(order)
    activity = unit_activity(checkpoint, images, session)
    middle = len(images) * 3 // 5
    pools = ((images.labels[:middle], activity[:middle]), (images.labels[middle:], activity[middle:]))
    rows = []
    for split in ("shards", "dirichlet"):
        kinds: list[tuple[str, float | None, float | None]] = [("rap", None, None), *(("mvp", r, None) for r in RATES)]
        crowds = [
            (dealt(*pools[0], split, SHADOWS, 1000 + seed), dealt(*pools[1], split, VICTIMS, 2000 + seed))
            for seed in range(SEEDS)
        ]
        for kind in [*kinds, *(("mvp", 0.5, epsilon) for epsilon in EPSILONS)]:
            rows.append(row(split, *kind, crowds))
            print(json.dumps(rows[-1]), flush=True)
    setup = {"data": MODEL.data, "units": activity.shape[1], "images": IMAGES, "shadows": SHADOWS, "victims": VICTIMS,
             "seeds": SEEDS, "alpha": ALPHA, "labels_each": LABELS_EACH}  # fmt: skip
    given.out.write_text(json.dumps({"setup": setup, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
