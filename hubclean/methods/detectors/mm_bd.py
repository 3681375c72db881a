"""MM-BD (Wang et al., IEEE S&P 2024): without any image, the label whose margin can be driven highest is suspicious."""

from __future__ import annotations

import math
import statistics
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from hubclean.methods.interface import Detection, Needs
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData, Logits
from hubclean.nets.session import Session
from hubclean.records import DetectionReport
from hubclean.registry import Doc, chosen_options

_FEWEST_LABELS = 8  # a gamma of three parameters on fewer points says nothing
_SMALL_IMAGE = 64 * 64  # pixels up to which a batch holds as many images as the session's


@dataclass(frozen=True)
class MMBD:
    """Drives random images to the largest margin of every label and asks whether one label stands out. A hint only.

    Statistic of label t: r_t, the largest over ``images`` images x of the margin g_t(x) = logit_t - max over k != t of
    logit_k, after gradient ascent from x ~ U(0, 1), clamped into [0, 1] in the forward pass. Labels run together,
    ``labels_at_once`` a batch; each has its own starts and stops on its own, so the result does not depend on them.

    Test: a gamma distribution is fitted to all r_t but the largest of K; p = 1 - F(max r)^K. With three parameters on
    few points the fit is fragile, so two are reported: ``p`` with the location free (the authors' code), ``p_loc0``
    with the location at 0 (ours; where a margin is not positive, all are moved up until the smallest equals their
    standard deviation). No p with fewer than 8 labels.

    The verdict is always ``undecided`` and no target is named: clean nets have labels with a large natural margin
    (p < .001 on a clean MNIST net in our own trials), some backdoors move another label than their target, and at
    most one label can stand out. ``measures`` hold the candidate for whoever combines evidence. Starts of noise are
    far from any image at 224 pixels.

    Source: the formulas, and constants of the authors' code (30 images, rate .01, at most 300 steps, until the sum of
    a label's margins changes by less than 1e-5 of itself; their momentum is without effect, as the optimiser is made
    anew in every step).
    """

    name: ClassVar[str] = "mm-bd"
    paper: ClassVar[str] = "MM-BD, Wang et al., IEEE S&P 2024"
    needs: ClassVar[Needs] = "nothing"

    images: Annotated[int, Doc("random starts a label", 1, 4096)] = 30
    steps: Annotated[int, Doc("at most so many steps of gradient ascent", 1, 100_000)] = 300
    rate: Annotated[float, Doc("length of a step, as a multiple of the gradient", 0.0, 1e6)] = 0.01
    change: Annotated[float, Doc("a label stops when its margins change by less than this share", 0.0, 1.0)] = 1e-5
    level: Annotated[float, Doc("p below which the reason calls a label an outlier", 0.0, 1.0)] = 0.05
    labels_at_once: Annotated[int, Doc("labels optimised in one batch, 0 = by batch and image size", 0, 4096)] = 0

    def detect(self, checkpoint: Checkpoint, data: DefenseData, session: Session) -> Detection:
        """Examine a checkpoint; ``data`` is not looked at."""
        started = time.monotonic()
        margins, passes = self._all_margins(checkpoint, session)
        reason, measures = self._judge(margins)
        report = DetectionReport(
            detector=self.name,
            paper=self.paper,
            options=chosen_options(self) | {"labels_at_once": self._at_once(checkpoint, session)},
            statistic="p of the largest margin under a gamma distribution fitted to the others",
            threshold=self.level,
            scores=(),
            norms_by_seed=(),
            targets=(),
            verdict="undecided",
            reason=reason,
            seeds=(0,),
            forward_backwards=passes,
            seconds=time.monotonic() - started,
            per_label=tuple(margins) if all(map(math.isfinite, margins)) else (),
            decides=False,
            measures=measures,
        )
        return Detection(report)

    def _at_once(self, checkpoint: Checkpoint, session: Session) -> int:
        """Labels in a batch: as many images as the session's batch, fewer where they have more than 64 x 64 pixels."""
        _, height, width = checkpoint.facts.input_size
        share = min(1.0, _SMALL_IMAGE / (height * width))
        return self.labels_at_once or max(1, int(session.batch_size * share) // self.images)

    def _all_margins(self, checkpoint: Checkpoint, session: Session) -> tuple[list[float], int]:
        """r_t of every label in order; any number of processes gives one result."""
        from accelerate.utils import gather_object

        classes, width = len(checkpoint.labels), self._at_once(checkpoint, session)
        groups = [list(range(start, min(start + width, classes))) for start in range(0, classes, width)]
        accelerator = session.accelerator
        checkpoint.model.to(session.device).eval()
        session.progress.start("maximising margins", classes * self.steps)
        rows = [
            self._margins(checkpoint, group, session)
            for group in groups[accelerator.process_index :: accelerator.num_processes]
        ]
        session.progress.finish()
        if accelerator.num_processes > 1:
            rows = gather_object(rows)
        found = {label: margin for part, _ in rows for label, margin in part.items()}
        return [found[label] for label in range(classes)], sum(count for _, count in rows)

    def _margins(self, checkpoint: Checkpoint, labels: list[int], session: Session) -> tuple[dict[int, float], int]:
        """r_t of some labels, and how many images went forward and backward."""
        shape = (self.images, *checkpoint.facts.input_size)
        starts = [torch.rand(shape, generator=session.generator("mm-bd", label)) for label in labels]
        images, running = torch.stack(starts).to(session.device), torch.tensor(labels, device=session.device)
        before = torch.full((len(labels),), torch.inf, device=session.device)
        found, passes = dict[int, float](), 0
        for step in range(1, self.steps + 1):
            margins, slope = self._ascent(checkpoint.model, images, running, session)
            passes += len(running) * self.images
            total = margins.sum(1)
            stopped = (total - before).abs() < self.change * before.abs().clamp(min=1e-12)
            stopped |= ~total.isfinite() | (step == self.steps)
            session.progress.advance(len(running) + int(stopped.sum()) * (self.steps - step))
            images, before = images + self.rate * slope, total
            if bool(stopped.any()):
                found |= zip(running[stopped].tolist(), margins[stopped].amax(1).tolist(), strict=True)
                images, running, before = images[~stopped], running[~stopped], before[~stopped]
            if not len(running):
                break
        return found, passes

    @staticmethod
    def _ascent(model: nn.Module, images: Tensor, labels: Tensor, session: Session) -> tuple[Tensor, Tensor]:
        """Margins ``(b, n)`` of images ``(b, n, c, h, w)`` for their labels ``(b,)``, and their gradients."""
        images = images.requires_grad_(True)
        with torch.enable_grad():
            with session.accelerator.autocast():
                logits = model(images.clamp(0, 1).flatten(0, 1)).float()
            found = margin(logits, labels.repeat_interleave(images.shape[1])).view(images.shape[:2])
            (slope,) = torch.autograd.grad(found.sum(), images)
        images.requires_grad_(False)
        return found.detach(), slope

    def _judge(self, margins: Sequence[float]) -> tuple[str, dict[str, float]]:
        """What the margins say, in words, and the numbers behind it."""
        if len(margins) < 2:
            return "a model of one label has no margin", {}
        if not all(map(math.isfinite, margins)):
            return "a margin is no finite number (a wider precision may help)", {}
        order = sorted(range(len(margins)), key=lambda label: -margins[label])
        largest, second = margins[order[0]], margins[order[1]]
        middle = statistics.median(margins)
        measures = {"candidate": float(order[0]), "largest": largest, "second": second, "median": middle}
        free, zero = p_values(margins)
        measures |= {name: p for name, p in (("p", free), ("p_loc0", zero)) if p is not None}
        said = f"label {order[0]} has the largest margin, {largest:.3g} (next {second:.3g}, median {middle:.3g})"
        if len(margins) < _FEWEST_LABELS:
            return f"{said}; {len(margins)} labels are too few for a p", measures
        if free is None and zero is None:
            return f"{said}; no gamma distribution fits the others", measures
        low = [p < self.level for p in (free, zero) if p is not None]
        stands = "stands out" if all(low) else "stands out by one of two fits" if any(low) else "does not stand out"
        shown = ", ".join(f"{p:.2g} with {what}" for p, what in ((free, "free location"), (zero, "location 0"))
                          if p is not None)  # fmt: skip
        return f"{said} and {stands}, p {shown}: a hint, which clean nets give too, and never a verdict", measures


def margin(logits: Logits, labels: Tensor) -> Tensor:
    """Logit of each row's label ``(n,)`` less the largest other one; the logit itself where there is no other."""
    own = logits.gather(1, labels[:, None])[:, 0]
    if logits.shape[1] == 1:
        return own
    return own - logits.scatter(1, labels[:, None], -torch.inf).amax(1)


def p_values(margins: Sequence[float]) -> tuple[float | None, float | None]:
    """p of the largest of K margins, by a gamma fit with free location and by one with location 0.

    ``None`` where K < 8, or where no gamma distribution can be fitted to the other margins.
    """
    if len(margins) < _FEWEST_LABELS:
        return None, None
    others = sorted(margins)
    largest = others.pop()
    spread = statistics.pstdev(others)
    if spread <= 1e-6 * max(abs(one) for one in margins):
        return None, None
    shift = 0.0 if others[0] > 0 else spread - others[0]
    return _p(others, largest), _p([one + shift for one in others], largest + shift, floc=0.0)


def _p(others: list[float], largest: float, **fixed: float) -> float | None:
    from scipy.stats import gamma

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of overflows on the way to the optimum
            shape, place, scale = gamma.fit(others, **fixed)
            above = float(gamma.sf(largest, shape, place, scale))
    except (RuntimeError, ValueError):  # scipy's FitError is a RuntimeError
        return None
    if not 0 <= above <= 1:  # nan
        return None
    return 1.0 if above == 1 else -math.expm1((len(others) + 1) * math.log1p(-above))
