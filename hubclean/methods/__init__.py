"""Detectors and defenses, one file a method; below them the engines that several share.

* ``interface``: what every method keeps to: what it is given, what it hands back. Start here.
* ``detectors``: one detector a file: ``registry.methods("detectors")``.
* ``defenses``: one defense a file: ``registry.methods("defenses")``.
* ``inversion``: Neural Cleanse's triggers, many labels at once.
* ``masking``: masks over the whole net: MNP, RNP, ANP.
* ``voting``: several owners decide what to prune.
* ``tuning``: what the tuning defenses share.
* ``adversarial``: what those share that tune on perturbed images.
* ``shared_options``: options of one text that several methods have.
* ``stages``: stages that build on each other.
* ``tolerance``: within ``max_drop``; too few images.
* ``outliers``: cuts the units that stand out in their layer.
* ``weight_limits``: adjusting extreme weights.
* ``runtime_filter``: what stands in front of a classifier: rejects images, limits inputs.
"""

from typing import TYPE_CHECKING

from hubclean.surface import lazily

if TYPE_CHECKING:
    from hubclean.methods.interface import Cleansing as Cleansing
    from hubclean.methods.interface import Defense as Defense
    from hubclean.methods.interface import Detection as Detection
    from hubclean.methods.interface import Detector as Detector
    from hubclean.methods.interface import Filter as Filter
    from hubclean.methods.interface import InputRange as InputRange
    from hubclean.methods.interface import Needs as Needs
    from hubclean.methods.interface import Stage as Stage
    from hubclean.methods.runtime_filter import FilteredClassifier as FilteredClassifier

__all__ = [
    "Cleansing",
    "Defense",
    "Detection",
    "Detector",
    "Filter",
    "FilteredClassifier",
    "InputRange",
    "Needs",
    "Stage",
]

if not TYPE_CHECKING:
    __getattr__ = lazily(
        __name__,
        interface="Detector Defense Detection Stage Cleansing Needs Filter InputRange",
        runtime_filter="FilteredClassifier",
    )
