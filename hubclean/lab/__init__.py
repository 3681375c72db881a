"""Red team and bench: all that attacks, or measures attackers. Only ``cli`` imports it: no defender sees an attack.

* ``planting``: ``Attack``, ``DataAttack``; how a poisoned set becomes a model; whether it took. Start here.
* ``stamps``: what attacks do to images: which rows, which labels, patterns that several share.
* ``attacks``: one attack a file, found by name: ``registry.methods("attacks")``.
* ``decoys``: units that sleep on every image and can be woken.
* ``bench``: detectors x defenses x attacks x nets x seeds.
* ``hostile_clients``: clients of federated cleansing that attack or fail, one a file.
* ``demo``: the whole job on a model planted on the spot.
"""

from typing import TYPE_CHECKING

from hubclean.surface import lazily

if TYPE_CHECKING:
    from hubclean.lab.bench.plans import Plan as Plan
    from hubclean.lab.demo import run_demo as run_demo
    from hubclean.lab.planting import Attack as Attack
    from hubclean.lab.planting import DataAttack as DataAttack

__all__ = [
    "Attack",
    "DataAttack",
    "Plan",
    "run_demo",
]

if not TYPE_CHECKING:
    __getattr__ = lazily(
        __name__,
        bench__plans="Plan",
        demo="run_demo",
        planting="Attack DataAttack",
    )
