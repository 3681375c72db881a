"""The plan that the tests of the bench work on: two models of MNIST, as briefly as it goes."""

from __future__ import annotations

from hubclean import resources
from hubclean.lab.bench.plans import Plan

DATA = str(resources.data_folder("demo_images") / "mnist")
SMALL = Plan(
    data=(DATA,),
    attacks=("clean", "badnets:rate=0.3"),
    detectors=("neural-cleanse:steps=2,batches=1,batch_size=4,seeds=1",),
    defenses=("none", "fine-pruning:epochs=1,step=0.25"),
    train=64,
    fit=32,
    val=32,
    test=64,
    retune=True,
)
