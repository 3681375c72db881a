"""Opens the ``Session``: device, processes and precision through Accelerate, in one place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from hubclean.errors import OptionError
from hubclean.progress import Progress, Silent

if TYPE_CHECKING:
    from accelerate import Accelerator

PRECISIONS = ("no", "fp16", "bf16")


def open_session(
    device: str = "auto",
    seed: int = 0,
    batch_size: int = 128,
    mixed_precision: str = "no",
    progress: Progress | None = None,
) -> Session:
    """Make the session of one run.

    Args:
        device: ``auto`` (an accelerator when there is one), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        seed: every random choice of the run derives from it.
        batch_size: images in one forward pass outside a method's own batches; 0 = as many as the memory holds, once
            ``memory.fitted`` knows the model.
        mixed_precision: ``no``, ``fp16`` or ``bf16``.
        progress: told of long work.

    Raises:
        OptionError: the device or the precision does not exist here.
    """
    import torch
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    if mixed_precision not in PRECISIONS:
        raise OptionError(f"mixed precision must be one of {', '.join(PRECISIONS)}, not {mixed_precision!r}")
    if batch_size < 0:
        raise OptionError(f"the batch size must not be negative, but it is {batch_size}")
    kind, _, index = device.partition(":")
    available = {"auto": True, "cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(kind, False) or (index and not (kind == "cuda" and index.isdigit())):
        raise OptionError(f"there is no device {device!r} here; try auto or cpu")
    if index:
        if int(index) >= torch.cuda.device_count():
            raise OptionError(f"there is no device {device!r} here; try auto or cpu")
        torch.cuda.set_device(int(index))
    # Accelerate keeps its state for the whole process; a second session may ask for another device.
    AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
    accelerator = Accelerator(cpu=kind == "cpu", mixed_precision=mixed_precision)
    return Session(accelerator, seed, batch_size, progress or Silent())


@dataclass(frozen=True)
class Session:
    """Made once in the pipeline, handed down: device and processes, seed, batch size, progress."""

    accelerator: Accelerator
    seed: int = 0
    batch_size: int = 128
    progress: Progress = field(default_factory=Silent)

    @property
    def device(self) -> torch.device:
        device: torch.device = self.accelerator.device
        return device

    def derive(self, *names: str | int) -> int:
        """A 63-bit seed for one purpose, the same on every machine, independent of the order of calls."""
        text = "/".join(str(name) for name in (self.seed, *names))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

    def generator(self, *names: str | int) -> torch.Generator:
        """A CPU generator for one purpose."""
        return torch.Generator().manual_seed(self.derive(*names))

    @contextmanager
    def seeded(self, *names: str | int) -> Iterator[None]:
        """Seeds the global generators inside and puts their state back after (dropout has no generator of its own)."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(self.derive(*names))
            yield
