"""By which names a library finds a model's tensors on disk: what ``convert`` writes is compared with them."""

from __future__ import annotations

from pathlib import Path

from hubclean.errors import HubcleanError
from hubclean.scanning.pickles.tensor_names import Architecture


def architecture_of(folder: Path) -> Architecture | None:
    """What the config in ``folder`` builds; ``None`` where torch is not installed, or it is no known classifier."""
    if not (folder / "config.json").is_file():
        return None
    try:
        from hubclean.nets.construction.classifier import bare_net
    except ImportError:
        return None
    try:
        return Architecture(disk_names(bare_net(folder)), _failure)
    except HubcleanError:
        return None


def disk_names(net: object) -> tuple[frozenset[str], ...]:
    """The names on disk of a net of timm or transformers, on any device; of transformers also those of a bare base."""
    state = net.state_dict()  # type: ignore[attr-defined]
    if not hasattr(net, "base_model_prefix"):
        return (frozenset(state),)
    from transformers.core_model_loading import revert_weight_conversion

    names = frozenset(revert_weight_conversion(net, state))
    before = f"{net.base_model_prefix}."
    bare = frozenset(name.removeprefix(before) for name in names)
    return (names, bare) if before != "." and len(bare) == len(names) and bare != names else (names,)


def _failure(folder: Path, files: tuple[str, ...]) -> str:
    """Why the library cannot load files of ``folder``; empty if it can."""
    from hubclean.nets.construction.classifier import bare_net

    try:
        bare_net(folder, files)
    except HubcleanError as error:
        return str(error)
    return ""
