"""The main job: load, detect, cleanse, measure, write one folder with audit and card; the deep stage of a scan.

* ``pipeline``: the main job from end to end. Start here.
* ``options``: what it can be told, and the command that repeats it.
* ``chosen_methods``: which methods run, with which ``KEY=VALUE`` options, and what they need.
* ``inputs``: the checkpoint, opened after its scan, and its images in three sets.
* ``label_check``: whether the original answers the images with their labels, before anything is tuned.
* ``fidelity``: what of its answers a cleansed model keeps.
* ``deep``: the second stage of a scan: detectors on the weights.
* ``verdict``: one verdict from all detectors.
* ``rechecking``: triggers inverted anew, and detection repeated on the cleansed net.
* ``retuning``: does a backdoor come back when the model is fine-tuned?
* ``verifying``: is a checkpoint what its audit and its card say?
* ``output_folder``: weights, triggers, pictures, audit and card as one whole folder.
* ``card``: the model card.
* ``hub_metadata``: what of it the Hub takes.
* ``card_labels``: what it says of labels.
* ``card_metadata``: what the Hub reads of it.
* ``front_matter``: the YAML block at its top.
* ``pictures``: recovered triggers, mask norms, the pruning curve.
"""

from typing import TYPE_CHECKING

from hubclean.surface import lazily

if TYPE_CHECKING:
    from hubclean.cleansing.deep import DeepOptions as DeepOptions
    from hubclean.cleansing.deep import deep_scan as deep_scan
    from hubclean.cleansing.options import CleanOptions as CleanOptions
    from hubclean.cleansing.pipeline import CleanResult as CleanResult
    from hubclean.cleansing.pipeline import clean as clean
    from hubclean.cleansing.verdict import judge as judge

__all__ = [
    "CleanOptions",
    "CleanResult",
    "DeepOptions",
    "clean",
    "deep_scan",
    "judge",
]

if not TYPE_CHECKING:
    __getattr__ = lazily(
        __name__,
        deep="deep_scan DeepOptions",
        options="CleanOptions",
        pipeline="clean CleanResult",
        verdict="judge",
    )
