"""Adjusting extreme weights, the last step of federated pruning (Wu, Yang, Zhu, Mitra, ICDCS 2022), on its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from hubclean.methods import weight_limits
from hubclean.methods.interface import AnyFilter, Cleansing, Needs, Stage
from hubclean.methods.runtime_filter import filtered, input_range
from hubclean.methods.shared_options import MaxDrop
from hubclean.methods.tolerance import within
from hubclean.methods.weight_limits import Mode
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData
from hubclean.nets.metrics import clean_accuracy
from hubclean.nets.session import Session
from hubclean.nets.triggers import Trigger
from hubclean.registry import Doc


@dataclass(frozen=True)
class ExtremeWeights:
    """Sets the extreme weights of the last convolution to zero, as many as clean accuracy allows.

    With mu and sigma of the tensor, every w outside [mu - Delta sigma, mu + Delta sigma] becomes 0 (``mode=zero``) or
    the nearer limit (``mode=clip``). Delta falls from ``first`` and the smallest whose accuracy on ``val`` is within
    ``max_drop`` of the original is kept. It asks for nothing but that accuracy, so a handful of images will do.

    Adjusted are the last convolution that is not grouped, or the second layer of the last MLP and the last attention
    projection (ViT, Swin, ConvNeXt), each tensor by its own mu and sigma. One with fewer than 100 weights, or whose
    weights do not differ, is left alone.

    The paper also limits extreme inputs. What the weights cannot hold goes in front of them: ``inputs=range`` clips
    every colour channel to the smallest and largest value of the clean images in ``fit``, ``inputs=spread`` to
    mean +- 3 standard deviations. Where that excludes some value in [0, 1], a stage ``limited`` has such a wrapper
    beside the weights (``hubclean.load_filtered``); it is kept if it costs no more accuracy than ``max_drop`` either.
    Natural images use the whole of [0, 1], and then the notes say that there is nothing to limit.

    Reconstruction: the paper's text could not be read. That extreme values of inputs and weights are limited is in its
    abstract; the rule is recalled, the schedule of Delta, its range, the form of the input limits, the layers of nets
    without convolutions, and that zeros stay out of mu and sigma, are ours
    (docs/methods/federated.md#extreme-weights).
    """

    name: ClassVar[str] = "extreme-weights"
    paper: ClassVar[str] = "Federated pruning, Wu et al., ICDCS 2022"
    needs: ClassVar[Needs] = "labels"

    mode: Annotated[str, Doc("a weight outside becomes zero, or the nearer limit", choices=("zero", "clip"))] = "zero"
    max_drop: MaxDrop = 0.01
    first: Annotated[float, Doc("Delta to begin with, in sigmas", 0.1, 100.0)] = 5.0
    least: Annotated[float, Doc("smallest Delta tried, in sigmas", 0.0, 100.0)] = 1.0
    inputs: Annotated[str, Doc("limits of the inputs, from the images in fit", choices=("range", "spread", "none"))] = (
        "range"
    )

    def cleanse(
        self, checkpoint: Checkpoint, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> Cleansing:
        """Make the adjusted checkpoint; the input is not changed. ``triggers`` are not used.

        Raises:
            ModelError: the net cannot be traced.
        """
        adjusted = checkpoint.copy()
        adjusted.model.to(session.device)
        mode: Mode = "clip" if self.mode == "clip" else "zero"
        names = weight_limits.adjusted_layers(adjusted)
        tensors, notes = weight_limits.limited(adjusted.model, names)
        before = clean_accuracy(adjusted.model, data.val, session).value
        looks = 1
        if not names:
            notes = ("the net has no convolution, MLP or attention whose weights could be adjusted",)
        if tensors:

            def accuracy() -> float:
                session.progress.advance()
                return clean_accuracy(adjusted.model, data.val, session).value

            session.progress.start("narrowing the weights", 13)
            found, told = weight_limits.narrow(
                adjusted.model, tensors, accuracy, before, self.max_drop, mode, self.first, self.least
            )
            session.progress.finish()
            notes += told
            looks += len(found.tried)
        stages, kept = [Stage("adjusted", adjusted)], "adjusted"
        front, said = self._front(data)
        if front:
            stages.append(Stage("limited", adjusted.copy(), front))
            reached, looks = clean_accuracy(filtered(adjusted, front), data.val, session).value, looks + 1
            kept = "limited" if within(before, reached, self.max_drop) else kept
            said = f"{said}: val accuracy {reached:.1%} behind these limits" + (
                "" if kept == "limited" else ", beyond the tolerance: the stage without them is kept"
            )
        notes += (said,) if said else ()
        return Cleansing(tuple(stages), kept, notes=notes, passes=looks * len(data.val) // 3)

    def _front(self, data: DefenseData) -> tuple[tuple[AnyFilter, ...], str]:
        """The limits of the inputs where they exclude anything, and what the notes say of them."""
        if self.inputs == "none":
            return (), ""
        found = input_range(data.fit, 3.0 if self.inputs == "spread" else None)
        shown = ", ".join(f"{low:.3f} to {high:.3f}" for low, high in zip(found.low, found.high, strict=True))
        if found.excludes:
            return (found,), f"inputs are limited to {shown} (one range a channel, of {len(data.fit)} clean images)"
        return (), f"limiting the inputs would change nothing: clean images have {shown} (one range a channel)"
