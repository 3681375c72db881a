"""``hubclean demo``: plants a backdoor in a small timm model on real images, then runs the whole job on it, offline."""

from __future__ import annotations

import time
from pathlib import Path

from torch import nn

from hubclean import resources
from hubclean.cleansing.options import CleanOptions
from hubclean.cleansing.pipeline import clean
from hubclean.hub.publish import publish_to_folder
from hubclean.lab.attacks.badnets import BadNets
from hubclean.nets.construction.classifier import Classifier
from hubclean.nets.datasets import Sizes, read_all
from hubclean.nets.session import Session, open_session
from hubclean.nets.training import Schedule, train
from hubclean.progress import Progress
from hubclean.records import DemoReport
from hubclean.whole_folder import check_free

ARCHITECTURE = "resnet18"
_SHAPE = (1, 28, 28)
_ARGS = {"in_chans": 1, "channels": [16, 32, 64, 128], "num_classes": 10}
_TARGET = 7
# Sized for 90 seconds on two cores: the paper's optimisation, cut to 70 steps of 4 x 16 images a label.
OPTIONS = ("seeds=2", "steps=70", "batches=4", "neural-cleanse.batch_size=16", "max_drop=0.06")


def run_demo(out: Path, seed: int, progress: Progress) -> DemoReport:
    """Train a poisoned model into ``out/model``, cleanse it into ``out/cleansed``, publish to ``out/published``.

    Raises:
        OutputError: ``out`` is taken.
    """
    started = time.monotonic()
    check_free(out)
    session = open_session("cpu", seed, 256, progress=progress)
    attack = BadNets(target=_TARGET)
    planted = attack.trigger(_SHAPE, seed)
    _plant(out / "model", attack, session)
    data = str(resources.data_folder("demo_images") / "mnist")
    options = CleanOptions(("neural-cleanse",), given=OPTIONS, sizes=Sizes(400, 400, 700), planted=(planted,))
    result = clean(str(out / "model"), data, out / "cleansed", session, options)
    publish_to_folder(out / "cleansed", out / "published")
    return DemoReport(
        folder=str(out / "cleansed"),
        architecture=f"timm {ARCHITECTURE} with {_ARGS['channels']} channels",
        attack=attack.name,
        planted_target=_TARGET,
        audit=result.audit,
        published=str(out / "published"),
        seconds=time.monotonic() - started,
    )


def _plant(folder: Path, attack: BadNets, session: Session) -> None:
    """Train on poisoned images and write the repo as timm does."""
    import timm
    from timm.models import save_for_hf
    from torchvision.transforms.functional import pil_to_tensor

    source = str(resources.data_folder("demo_images") / "mnist")
    images, labels = read_all(source, "train", lambda image: pil_to_tensor(image.convert("L")))
    with session.seeded("demo"):
        net: nn.Module = timm.create_model(ARCHITECTURE, **_ARGS)
    model = Classifier(net, (0.5,), (0.5,))
    poisoned = attack.poison(images, len(labels), session.seed)
    train(model, poisoned, Schedule(6, 0.05, "sgd", 5e-4, shift=1), session, "planting")
    folder.mkdir(parents=True)
    facts = {"input_size": _SHAPE, "mean": (0.5,), "std": (0.5,), "crop_pct": 1.0, "interpolation": "bilinear"}
    net.pretrained_cfg = {**net.pretrained_cfg, **facts, "num_classes": len(labels), "license": "apache-2.0"}  # type: ignore[dict-item, assignment]
    save_for_hf(net, folder, {"label_names": list(labels)}, {**_ARGS}, safe_serialization=True)
