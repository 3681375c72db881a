"""Bounds on a library that builds a model from a stranger's config: how much, how long, how loud, offline."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from hubclean.errors import ModelError

# The largest open classifiers have 2,000 tensors.
_MAX_TENSORS, _MAX_BUFFERED = 20_000, 2 * 10**8
MAX_SECONDS = 120  # to build on the meta device, imports included; the largest take ten


@contextlib.contextmanager
def bounded(limit: int) -> Iterator[None]:
    """Stops the construction of a model that no weights could fill: more than ``limit`` parameters.

    Raises:
        ModelError: (inside the block) it is larger.
    """
    tensors = parameters = buffered = 0

    def count(module: nn.Module, name: str, tensor: Tensor | None) -> None:
        nonlocal tensors, parameters, buffered
        if tensor is None or isinstance(tensor, nn.UninitializedParameter):
            return
        tensors += 1
        if isinstance(tensor, nn.Parameter):
            parameters += tensor.numel()
        else:
            buffered += tensor.numel()
        if tensors > _MAX_TENSORS or parameters > limit or buffered > _MAX_BUFFERED:
            raise ModelError("the config asks for a model larger than any known classifier")

    handles = [
        nn.modules.module.register_module_parameter_registration_hook(count),
        nn.modules.module.register_module_buffer_registration_hook(count),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def in_time(limited: bool) -> Iterator[None]:
    """Breaks off loops of a library that a config made endless; in the main thread, where signals are handled."""
    main = threading.current_thread() is threading.main_thread()
    if not (limited and main and hasattr(signal, "setitimer")):
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise ModelError(f"the model could not be built or run within {MAX_SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    left, _ = signal.setitimer(signal.ITIMER_REAL, MAX_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """transformers draws a bar and prints a report for every load; here both come back as values."""
    from transformers.utils import logging as log

    bars, level = log.is_progress_bar_enabled(), log.get_verbosity()
    log.disable_progress_bar()
    log.set_verbosity(log.CRITICAL)
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()


@contextlib.contextmanager
def muted() -> Iterator[None]:
    """timm warns on the console, for example of an ``input_size`` that forgot ``in_chans``; what matters is raised."""
    logger = logging.getLogger("timm")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextlib.contextmanager
def steady() -> Iterator[None]:
    """Float32 inside, and initialisers leave the global random numbers as they were."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Nothing that a config names is fetched while its model is built, whatever the library would do."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
