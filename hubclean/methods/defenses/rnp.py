"""RNP, reconstructive neuron pruning (Li et al., ICML 2023): unlearn, recover by masks, prune the original."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from hubclean.methods.interface import Cleansing, Needs
from hubclean.methods.masking.options import MaskOptions, Searchable
from hubclean.methods.masking.search import Masks, Recovery, recover
from hubclean.methods.masking.suppression import Ascent, expose
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.images import DefenseData
from hubclean.nets.session import Session
from hubclean.nets.triggers import Trigger
from hubclean.registry import Doc


@dataclass(frozen=True)
class Rnp(MaskOptions):
    """Unlearns clean images, learns the masks that bring them back, and prunes what they mask from the original.

    Unlearn: theta^ by gradient ascent on CE(F(x; theta), y) over ``fit`` until accuracy there is 0.20.
    Recover: min over M in [0, 1] of scale * CE(F_M(x; theta^), y). Prune theta by rising mask. The same engine as MNP
    with a = 0 and lambda = 0, and RNP's numbers.

    Unlike the authors' code: gradients are clipped after backward (before it, clipping does nothing); BatchNorm's
    running statistics do not move; units are those of any net, not BatchNorm layers alone, and a masked unit is zero
    altogether, where RNP keeps its bias; where to stop is chosen by clean accuracy on ``val``, not on the test set.
    ``threshold=0.3 max_drop=1 layer_share=1`` is the fixed threshold of the authors' CIFAR-10 example. Source:
    the authors' code (docs/methods/masks.md#rnp); the paper itself was not read.
    """

    name: ClassVar[str] = "rnp"
    paper: ClassVar[str] = "RNP, Li et al., ICML 2023"
    needs: ClassVar[Needs] = "labels"

    suppress_to: Annotated[float, Doc("accuracy on fit at which unlearning stops", 0.0, 1.0)] = 0.2
    suppress_rate: Annotated[float, Doc("learning rate of unlearning", 0.0, 10.0)] = 0.01
    decay: Annotated[float, Doc("weight decay of unlearning", 0.0, 1.0)] = 5e-4
    steps: Annotated[int, Doc("most steps of unlearning", 1, 100_000)] = 200
    rate: Annotated[float, Doc("learning rate of the masks", 0.0, 100.0)] = 0.2
    scale: Annotated[float, Doc("factor on the loss of the masks", 0.0, 100.0)] = 0.2
    epochs: Annotated[int, Doc("epochs of learning the masks", 1, 10_000)] = 20

    def cleanse(
        self, checkpoint: Checkpoint, data: DefenseData, triggers: tuple[Trigger, ...], session: Session
    ) -> Cleansing:
        """Make the pruned checkpoint; the input is not changed.

        Raises:
            ModelError: no unit of the net can be cut exactly; tried on two images.
        """
        net = Searchable.of(checkpoint, data.fit, session)
        ascent = Ascent(self.suppress_to, self.suppress_rate, self.decay, steps=self.steps, batch_size=self.batch_size)
        exposure = expose(net.checkpoint.model, data.fit, len(checkpoint.labels), ascent, session, self.name)
        recovery = Recovery(self.rate, self.epochs, scale=self.scale, batch_size=self.batch_size)
        start = Masks.ones(net.groups, session.device)
        found, count = recover([(1.0, exposure.model)], start, net.sizes, recovery, data.fit, session, self.name)
        notes = (exposure.note(checkpoint.labels),)
        return self.cleansed(net, found, data, triggers, session, notes, exposure.passes + count)
