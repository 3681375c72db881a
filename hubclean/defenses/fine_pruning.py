"""Fine-Pruning (Liu, Dolan-Gavitt, Garg, RAID 2018): cut the channels clean images leave asleep, then fine-tune."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from hubclean.activations import feature_activations
from hubclean.metrics import attack_rates, clean_accuracy
from hubclean.records import CurvePoint
from hubclean.registry import Doc
from hubclean.sites import capture, dead_mask, verify, zero_channels
from hubclean.tensors import Checkpoint, Cleansing, DefenseData, ImageSet, Session, Stage, Trigger
from hubclean.training import Schedule, suited, train


@dataclass(frozen=True)
class FinePruning:
    """Prunes the final feature channels in order of rising mean activation a_i, then fine-tunes what is left.

    a_i is the mean over clean images (``fit``) and positions of channel i at the head's input; where features take
    negative values (LayerNorm, GELU) the mean of |a_i| ranks. Channels are cut a step at a time while clean accuracy
    on ``val`` stays within ``max_drop`` of the original; the last state within it is the ``pruned`` stage. Fine-tuning
    holds the cut entries at exactly zero; the epoch with the best ``val`` accuracy is the ``fine-tuned`` stage. Both
    stages are kept, because fine-tuning can bring the backdoor back.

    Which stage becomes the checkpoint: ``fine-tuned``, unless its ``val`` accuracy is lower than the tolerance allows
    and than the pruned stage's, or the ASR of a recovered trigger on ``val`` is more than 0.05 above the pruned
    stage's. The planted trigger is never seen.

    The cut is a true zero: the head's input columns of a dead channel are zero in the file. The paper cuts filters of
    the last convolutional layer; cutting the final feature is the same without a shortcut around that layer, and all
    that can be cut exactly with one. In a net with a hidden layer before the head it is that layer's units that are
    cut, not the convolution's. Source: sections 3.1-3.3; steps of 1 % and 4 points of tolerance are our defaults, the
    paper leaves the tolerance to the user.
    """

    name: ClassVar[str] = "fine-pruning"
    paper: ClassVar[str] = "Fine-Pruning, Liu et al., RAID 2018"

    step: Annotated[float, Doc("share of the channels cut in one step", 0.0001, 1.0)] = 0.01
    max_drop: Annotated[float, Doc("largest loss of clean accuracy on val", 0.0, 1.0)] = 0.04
    finetune: Annotated[bool, Doc("fine-tune after pruning")] = True
    epochs: Annotated[int, Doc("epochs of fine-tuning", 0, 10_000)] = 10
    optimizer: Annotated[
        str, Doc("auto: adamw with LayerNorm or RMSNorm alone, else sgd", choices=("auto", "sgd", "adamw"))
    ] = "auto"
    learning_rate: Annotated[float, Doc("0 = 0.01 for sgd, 5e-5 for adamw", 0.0, 10.0)] = 0.0
    batch_size: Annotated[int, Doc("images a training step", 2, 65536)] = 128
    shift: Annotated[int, Doc("largest random translation while fine-tuning, in pixels", 0, 64)] = 0

    def cleanse(
        self, checkpoint: Checkpoint, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> Cleansing:
        """Make the pruned and the fine-tuned checkpoint; the input is not changed.

        Raises:
            ModelError: cutting a channel in the heads does not do what cutting its feature does; tried on two images.
        """
        pruned = checkpoint.copy()
        pruned.model.to(session.device)
        verify(pruned.model, pruned.site, data.fit.images(slice(0, 2), session.device))
        found = feature_activations(pruned, data.fit, session)
        order = torch.argsort(found.absolute if found.signed else found.mean, stable=True)
        curve = list(self._curve(pruned, order, data.val, triggers, session))
        kept = curve[-1] if self._within(curve[0].clean_accuracy, curve[-1].clean_accuracy) else curve[-2]
        dead = order[: kept.cut].cpu()
        zero_channels(pruned.model, pruned.site, dead)
        notes = [f"{kept.cut} of {checkpoint.site.channels} channels cut"]
        stages = [Stage("pruned", pruned)]
        if self.finetune and self.epochs:
            tuned = pruned.copy()
            if self._tune(tuned, dead, data, session):
                stages.append(Stage("fine-tuned", tuned))
            else:
                notes.append(
                    "fine-tuning diverged in its first epoch and was dropped; a smaller learning rate may help"
                )
        chosen, why = self._choose(stages, curve[0].clean_accuracy, data.val, triggers, session)
        return Cleansing(tuple(stages), chosen, tuple(curve), (*notes, why), kept.cut)

    def _curve(
        self, checkpoint: Checkpoint, order: Tensor, val: ImageSet, triggers: tuple[Trigger, ...], session: Session
    ) -> Iterator[CurvePoint]:
        """Accuracy for every prefix of ``order`` until it leaves the tolerance; the last point may be beyond it.

        The features of val do not change when head columns are zeroed, so one forward pass serves every step: the
        logits lose the contribution of the columns just cut.
        """
        count, width = len(order), max(1, ceil(round(self.step * len(order), 6)))
        clean = _Cut(checkpoint, val, None, session)
        able = [t for t in triggers if t.target is None or bool((val.labels != t.target).any())]
        stamped = [_Cut(checkpoint, val, trigger, session) for trigger in able]
        first = clean.accuracy()
        yield CurvePoint(0, first, _mean([cut.success() for cut in stamped]))
        for start in range(0, count - width, width):
            gone = order[start : start + width]
            for cut in (clean, *stamped):
                cut.remove(gone)
            point = CurvePoint(start + width, clean.accuracy(), _mean([cut.success() for cut in stamped]))
            yield point
            if not self._within(first, point.clean_accuracy):
                return

    def _within(self, before: float, after: float) -> bool:
        """Whether a loss of accuracy is within the tolerance; shares of images are exact to far more than 1e-9."""
        return before - after <= self.max_drop + 1e-9

    def _tune(self, tuned: Checkpoint, dead: Tensor, data: DefenseData, session: Session) -> bool:
        """Fine-tune in place to the best epoch; ``False`` if no epoch left finite weights."""
        optimizer, rate = suited(tuned.model)
        if self.optimizer != "auto":
            optimizer, rate = self.optimizer, {"sgd": 1e-2, "adamw": 5e-5}[self.optimizer]
        schedule = Schedule(
            self.epochs,
            self.learning_rate or rate,
            optimizer,
            batch_size=self.batch_size,
            shift=self.shift,
            freeze_statistics=len(data.fit) < 200,
        )
        best = (-1.0, {name: value.clone() for name, value in tuned.model.state_dict().items()})

        def keep_best(_: int) -> None:
            nonlocal best
            accuracy = clean_accuracy(tuned.model, data.val, session).value
            state = tuned.model.state_dict()
            if accuracy > best[0] and all(bool(value.isfinite().all()) for value in state.values()):
                best = (accuracy, {name: value.clone() for name, value in state.items()})

        held = dead_mask(tuned.model, tuned.site, dead)
        train(tuned.model, data.fit, schedule, session, "fine-pruning", held, keep_best)
        tuned.model.load_state_dict(best[1])
        return best[0] >= 0

    def _choose(
        self, stages: list[Stage], before: float, val: ImageSet, triggers: tuple[Trigger, ...], session: Session
    ) -> tuple[str, str]:
        if len(stages) == 1:
            return stages[0].name, "the pruned stage is kept"
        accuracy = [clean_accuracy(stage.checkpoint.model, val, session).value for stage in stages]
        if not self._within(before, accuracy[1]) and accuracy[1] < accuracy[0]:
            return (
                "pruned",
                f"fine-tuning left {accuracy[1]:.1%} on val, beyond the tolerance: the pruned stage is kept",
            )
        asr = [self._proxy(stage.checkpoint, val, triggers, session) for stage in stages]
        if any(after > pruned + 0.05 for pruned, after in zip(*asr, strict=True)):
            return "pruned", "fine-tuning raised the ASR of a recovered trigger on val: the pruned stage is kept"
        return "fine-tuned", f"val accuracy {accuracy[0]:.1%} pruned, {accuracy[1]:.1%} fine-tuned"

    @staticmethod
    def _proxy(checkpoint: Checkpoint, val: ImageSet, triggers: tuple[Trigger, ...], session: Session) -> list[float]:
        classes = len(checkpoint.labels)
        return [attack_rates(checkpoint.model, val, trigger, classes, session)[0].value for trigger in triggers]


class _Cut:
    """Logits of val images (stamped or not) while head columns are taken away.

    Where the head's output is the logits, no further forward pass is needed: they lose the contribution of the columns
    just cut. Several heads, or something after the head, cost a forward pass a step.
    """

    @torch.no_grad()
    def __init__(self, checkpoint: Checkpoint, images: ImageSet, trigger: Trigger | None, session: Session) -> None:
        if trigger is not None:
            images = images.subset(images.labels.ne(-1 if trigger.target is None else trigger.target))
        self._images, self._trigger, self._session = images, trigger, session
        self._labels = images.labels.to(session.device)
        self._checkpoint = checkpoint
        self._model, self._site = checkpoint.model, checkpoint.site
        self._logits, self._inputs = self._forward()

    def _forward(self) -> tuple[Tensor, Tensor | None]:
        """Logits ``(n, k)``, and the head's input columns ``(n, d)`` if the head alone makes the logits of them."""
        logits, inputs, direct = [], [], len(self._site.heads) == 1
        head = self._site.heads[0].path
        with capture(self._model, self._site) as seen:
            for pixels, _ in self._images.batches(self._session.batch_size, self._session.device):
                logits.append(self._model(pixels if self._trigger is None else self._trigger.stamp(pixels)))
                direct = direct and torch.equal(seen.outputs[head].flatten(1), logits[-1])
                inputs.append(seen.inputs[head].flatten(1))
        return torch.cat(logits), torch.cat(inputs) if direct else None

    @torch.no_grad()
    def remove(self, channels: Tensor) -> None:
        if self._inputs is None:
            if self._model is self._checkpoint.model:
                self._model = self._checkpoint.copy().model
            zero_channels(self._model, self._site, channels)
            self._logits, _ = self._forward()
            return
        ((name, mask),) = dead_mask(self._model, self._site, channels).items()
        columns = mask.flatten(1).any(0)
        weight = self._model.get_parameter(name).flatten(1)
        self._logits = self._logits - self._inputs[:, columns] @ weight[:, columns].T

    def accuracy(self) -> float:
        return int((self._logits.argmax(1) == self._labels).sum()) / len(self._labels)

    def success(self) -> float:
        assert self._trigger is not None
        following = (self._labels + 1) % self._logits.shape[1]
        wanted = following if self._trigger.target is None else self._trigger.target
        return int((self._logits.argmax(1) == wanted).sum()) / len(self._labels)


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
