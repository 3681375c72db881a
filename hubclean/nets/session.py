"""Opens the ``Session``: device, processes and precision through Accelerate, in one place."""

from __future__ import annotations

from hubclean.errors import OptionError
from hubclean.nets.checkpoint import Progress, Session, Silent

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
