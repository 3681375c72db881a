"""The run config of the Flower apps: which model, whose images, what to do; ``cleanse.KEY`` and ``train.KEY`` options.

Flower hands values over as texts and numbers; keys are those of ``flower/pyproject.toml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

from hubclean.cleansing import inputs
from hubclean.errors import DataError, OptionError
from hubclean.federated.participants import Participant
from hubclean.federated.partitions import Split, deal
from hubclean.nets import datasets
from hubclean.nets.checkpoint import Checkpoint
from hubclean.nets.construction import preprocessing
from hubclean.nets.images import ImageSet
from hubclean.nets.session import Session, open_session

Scalar = bool | int | float | str


@dataclass(frozen=True)
class Settings:
    """What server and clients read alike.

    Args:
        job: ``cleanse`` or ``train``.
        model: checkpoint as ``hubclean clean`` takes it. Clients take the architecture from it: every question brings
            the weights it is about.
        revision: of the model; empty = the default.
        data: images of a client, or, with a ``partition``, of all simulated clients together.
        split: of the images; empty = the most held-out one there is.
        partition, alpha, labels_each: how one set is dealt out (``partitions.deal``).
        out: the folder that the server writes.
        timeout: seconds a round waits for its clients.
        clients: how many must be connected before the first round.
        wait: seconds to wait for them.
        server_data: images of the server's own, that measure before and after (``hubclean clean --data``).
        device, seed, batch_size: as of ``hubclean clean``.
    """

    job: str
    model: str
    revision: str
    data: str
    split: str
    partition: str
    alpha: float
    labels_each: int
    out: str
    timeout: float
    clients: int
    wait: float
    server_data: str
    device: str
    seed: int
    batch_size: int

    def session(self) -> Session:
        """A session of this process."""
        return open_session(self.device, self.seed, self.batch_size)


def read_settings(config: Mapping[str, Scalar]) -> Settings:
    """Settings of a run config, checked.

    Raises:
        OptionError: a key is missing or has a value of another type or range.
    """
    values: dict[str, Scalar] = {}
    for name, kind in Settings.__annotations__.items():
        key = name.replace("_", "-")
        if key not in config:
            raise OptionError(f"the run config lacks {key!r}")
        try:
            values[name] = {"str": str, "int": int, "float": float}[kind](config[key])
        except ValueError as error:
            raise OptionError(f"the run config has {key}={config[key]!r}, which is no {kind}") from error
    made = Settings(**values)  # type: ignore[arg-type]
    for name, allowed in {"job": ("cleanse", "train"), "partition": ("none", "iid", "dirichlet", "shards")}.items():
        if values[name] not in allowed:
            raise OptionError(f"{name} must be one of {', '.join(allowed)}, not {values[name]!r}")
    if not made.model or made.clients < 1 or made.timeout <= 0:
        raise OptionError("the run config must name a model, at least one client and a timeout above 0 seconds")
    return made


def options_for(config: Mapping[str, Scalar], part: str) -> dict[str, str]:
    """The options ``PART.KEY`` of a run config as text by KEY, without those left empty."""
    own = {key.removeprefix(f"{part}."): value for key, value in config.items() if key.startswith(f"{part}.")}
    return {key.replace("-", "_"): str(value) for key, value in own.items() if value != ""}


def participant(settings: Settings, node: Mapping[str, Scalar]) -> Participant:
    """The honest client of one node.

    Args:
        node: config of the SuperNode: ``data`` and ``split`` are its own images; ``partition-id`` and
            ``num-partitions`` its part where one set is dealt out.

    Raises:
        HubcleanError: model or images cannot be opened.
    """
    checkpoint, images = _opened(
        settings.model,
        settings.revision,
        str(node.get("data") or settings.data),
        str(node.get("split") or settings.split),
    )
    place, count = int(node.get("partition-id", 0)), int(node.get("num-partitions", 1))
    if settings.partition != "none":
        how = cast(Split, settings.partition)
        parts = deal(images.labels, count, how, settings.seed, settings.alpha, settings.labels_each)
        if not 0 <= place < len(parts):
            raise OptionError(f"the node has partition-id {place} of {count}")
        images = images.subset(parts[place])
    return Participant(f"client {place}", checkpoint, images, settings.session())


@lru_cache(maxsize=2)
def _opened(model: str, revision: str, data: str, split: str) -> tuple[Checkpoint, ImageSet]:
    """Read once a process: a simulated node answers many questions in one."""
    if not data:
        raise DataError("this client has no images: give data in its node config or in the run config")
    checkpoint, _ = inputs.open_scanned(model, revision or None, None)
    prepare = preprocessing.preprocessing(checkpoint.folder, checkpoint.facts)
    return checkpoint, datasets.read_matched(data, split or None, checkpoint.labels, prepare)


def out_folder(settings: Settings) -> Path:
    """The folder that the server writes.

    Raises:
        OptionError: none is named.
    """
    if not settings.out:
        raise OptionError("the run config names no folder to write (out)")
    return Path(settings.out)
