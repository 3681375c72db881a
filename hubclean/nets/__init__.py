"""A classifier: built from its config, loaded, wrapped, written back; its features and units; trained, measured.

* ``checkpoint``: ``Checkpoint``: a loaded classifier and where it came from. Start here.
* ``loading``: a repo to a checkpoint, and back with nothing but weights edited.
* ``own_net``: a net that no library knows as a checkpoint.
* ``expected_names``: by which names a library finds the tensors.
* ``merging``: an adapter merged onto its base. ``lora``: the arithmetic of it.
* ``weight_files``: which files hold the weights, and patching them there.
* ``construction``: a net from a stranger's config, within bounds; the picture's own resize.
* ``trace``: one recorded forward: where features, heads and units are.
* ``cut``: features read, units silenced by hooks and in the file.
* ``site_report``: what ``hubclean site`` says.
* ``images``: tensor shapes and sets of images.
* ``datasets``: images in three sets, wherever they come from.
* ``sources``: pictures and labels as people keep them: folders, tables, archives, the Hub.
* ``own_images``: images in memory.
* ``labels``: the classes of the images matched with the labels of the model.
* ``triggers``: stamps and triggers, in sets and in files.
* ``session``: device, processes, seed, batch size, progress.
* ``memory``: how many images fit.
* ``training``: training steps on Accelerate.
* ``metrics``: clean accuracy, ASR, robust accuracy, anomaly index.
"""

from typing import TYPE_CHECKING

from hubclean.surface import lazily

if TYPE_CHECKING:
    from hubclean.nets.checkpoint import Checkpoint as Checkpoint
    from hubclean.nets.datasets import Sizes as Sizes
    from hubclean.nets.images import DefenseData as DefenseData
    from hubclean.nets.images import ImageSet as ImageSet
    from hubclean.nets.loading import load_checkpoint as load_checkpoint
    from hubclean.nets.loading import write_checkpoint as write_checkpoint
    from hubclean.nets.own_net import wrap_module as wrap_module
    from hubclean.nets.session import Session as Session
    from hubclean.nets.session import open_session as open_session
    from hubclean.nets.trace.locate import locate as locate
    from hubclean.nets.triggers import Stamp as Stamp
    from hubclean.nets.triggers import Trigger as Trigger

__all__ = [
    "Checkpoint",
    "DefenseData",
    "ImageSet",
    "Session",
    "Sizes",
    "Stamp",
    "Trigger",
    "load_checkpoint",
    "locate",
    "open_session",
    "wrap_module",
    "write_checkpoint",
]

if not TYPE_CHECKING:
    __getattr__ = lazily(
        __name__,
        checkpoint="Checkpoint",
        datasets="Sizes",
        images="ImageSet DefenseData",
        loading="load_checkpoint write_checkpoint",
        own_net="wrap_module",
        session="Session open_session",
        trace__locate="locate",
        triggers="Stamp Trigger",
    )
