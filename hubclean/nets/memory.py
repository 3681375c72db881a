"""How much memory a pass over a model takes, and how many images fit."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from hubclean.nets.session import Session

HOST, _ACCELERATOR = 2**30, 0.5  # bytes elsewhere, and share of a CUDA device's free memory, that one batch may fill
_LARGEST = {"cpu": 128}  # images a batch; more gained nothing there


def budget(session: Session) -> int:
    """Bytes that one batch may fill: half of the free memory of a CUDA device, 1 GiB elsewhere."""
    if session.device.type == "cuda":
        return int(_ACCELERATOR * torch.cuda.mem_get_info(session.device)[0])
    return HOST


def bytes_an_image(model: nn.Module, shape: tuple[int, ...], session: Session) -> int:
    """Bytes of activations that autograd keeps for one image of ``shape`` (c, h, w); the model is moved to the device.

    A forward pass without gradients takes less.
    """
    model.to(session.device).eval()
    own = {tensor.data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    sizes: dict[int, int] = {}

    def saved(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in own:
            sizes[tensor.data_ptr()] = max(sizes.get(tensor.data_ptr(), 0), tensor.nbytes)
        return tensor.detach()  # keeps the bytes, so that no two tensors share an address

    image = torch.zeros(1, *shape, device=session.device, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(saved, lambda tensor: tensor), session.accelerator.autocast():
        logits = model(image)
    del logits
    return sum(sizes.values())


def fitted(session: Session, model: nn.Module, shape: tuple[int, ...]) -> Session:
    """The session, with a batch size that fits the memory where it was left open (0).

    A power of two up to 1024, on a CPU up to 128, or 1. All processes take the smallest of theirs.
    """
    if session.batch_size:
        return session
    from accelerate.utils import gather_object

    most = _LARGEST.get(session.device.type, 1024)
    fits = max(1, min(most, budget(session) // max(bytes_an_image(model, shape, session), 1)))
    if session.accelerator.num_processes > 1:
        fits = min(gather_object([fits]))
    return replace(session, batch_size=2 ** (fits.bit_length() - 1))
