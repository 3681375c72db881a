"""CLP (Zheng et al., ECCV 2022): without any image, cut the channels whose weights can amplify a change the most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch

from hubclean.methods import outliers
from hubclean.methods.interface import Cleansing, Needs, Stage
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.cut import batch_norms
from hubclean.nets.cut.pruning import LayerUnits
from hubclean.nets.images import DefenseData
from hubclean.nets.session import Session
from hubclean.nets.triggers import Trigger
from hubclean.registry import Doc


@dataclass(frozen=True)
class ChannelLipschitzPruning:
    """Cuts the units with an outlying upper bound of their Lipschitz constant (UCLC). Needs no image.

    UCLC_i = sigma_max(W_i as a matrix (in, kh * kw)) * |gamma_i| / sqrt(var_i + eps), the BatchNorm behind the layer
    folded in. In every layer, units with UCLC_i > mean + ``u`` * standard deviation are cut: gamma and beta are zero,
    and so are the weights of the channel and what reads it, so that the unit is exactly silent in the file.

    Layer and norm are paired by the recorded forward, not by the order of modules; layers without a BatchNorm of their
    own are left alone and listed where the net has others with one. In a net without any, |W| alone is used, for
    convolutions and for the hidden units of transformers; attention heads and gated units are left alone.

    With images, units go in up to ``steps`` steps, the most striking first; a step that would take clean accuracy on
    ``val`` further than ``max_drop`` below the original's is undone. Without images all of them go and nothing is
    measured: read the notes. In a layer of 10 units or fewer, none can lie 3 standard deviations out; in small nets
    there is often nothing to cut, and a backdoor made of ordinary channels stays (docs/methods/pruning.md#clp).

    Source: formula and u = 3 of the authors' code. eps under the root, steps and tolerance are ours.
    """

    name: ClassVar[str] = "clp"
    paper: ClassVar[str] = "CLP, Zheng et al., ECCV 2022"
    needs: ClassVar[Needs] = "nothing"

    u: Annotated[float, Doc("standard deviations above its layer's mean at which a unit is cut", 0.0, 100.0)] = 3.0
    max_drop: Annotated[float, Doc("largest loss of clean accuracy on val, where there are images", 0.0, 1.0)] = 0.04
    steps: Annotated[int, Doc("steps in which the units are cut, where there are images", 1, 10_000)] = 20

    def cleanse(
        self, checkpoint: Checkpoint, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> Cleansing:
        """Make the pruned checkpoint; the input is not changed.

        Raises:
            ModelError: the net cannot be run on two images, random ones where none were given.
        """
        pruned = checkpoint.copy()
        pruned.model.to(session.device).eval()
        images = data.fit.images(slice(0, 2), session.device)
        if not len(images):
            shape = (2, *checkpoint.facts.input_size)
            images = torch.rand(shape, generator=session.generator("clp")).to(session.device)
        found, others = batch_norms.norm_layers(pruned, images)
        paired = tuple(layer for layer in found if layer.scale is not None)
        others |= {layer.group.name: "no BatchNorm of its own" for layer in found if paired and layer.scale is None}
        used = paired or found
        notes = [] if paired else ["this net has no BatchNorm behind a layer: weights alone were looked at"]
        stage = Stage("pruned", pruned)
        if not used:
            return Cleansing((stage,), "pruned", notes=("no unit of this net can be cut by its weights",))
        scores = [(layer.group.name, layer.lipschitz()) for layer in used]
        rule = outliers.OutlierRule(self.u, self.max_drop, self.steps)
        units = LayerUnits(tuple(layer.group for layer in used))
        done = outliers.prune_outliers(pruned, units, scores, rule, data, triggers, session)
        if others:
            notes.append(outliers.left_alone(others))
        return Cleansing((stage,), "pruned", done.curve, (*done.notes, *notes), done.cut, done.passes)
