"""Which of the names in a checkpoint are the model's, and what stands before them: wrappers, a trainer's own module.

With the names that the architecture has, a prefix is taken off exactly when that makes more of them fit; without,
only what DataParallel, ``torch.compile`` and averaging put before every name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from hubclean.errors import FormatError
from hubclean.escaping import printable

# What DataParallel and torch.compile put before every name. Lightning's ``model.`` is also the name of a part in
# transformers: it is taken off only where the architecture is known.
PREFIXES = ("module.", "_orig_mod.")
# Before the names of a part that was compiled, sharded or checkpointed by itself; no model has such a name of its own.
_INSIDE = re.compile(r"(?<=\.)(?:_orig_mod\.|_fsdp_wrapped_module\.|_checkpoint_wrapped_module\.)")
_COUNTERS = frozenset(["n_averaged"])  # torch.optim.swa_utils.AveragedModel
# Loaders make these themselves: batch norms saved before torch 0.4.1 have none.
_OPTIONAL = re.compile(r"(?:^|\.)num_batches_tracked$")
_ANCHORS, _MOST_PREFIXES, _DEEPEST = 6, 64, 4


@dataclass(frozen=True)
class Architecture:
    """What the config of a repo builds, as far as the names of its tensors go.

    Args:
        names: sets of names on disk; a checkpoint with all names of one set is what the library loads.
        failure: loads files of a folder as the library would: why it cannot, or an empty text.
    """

    names: tuple[frozenset[str], ...]
    failure: Callable[[Path, tuple[str, ...]], str] | None = None


@dataclass(frozen=True)
class Fit:
    """How names fit: ``prefix`` is to be taken off, ``count`` names then are the model's, ``lacks`` are not there."""

    prefix: str = ""
    count: int = 0
    lacks: tuple[str, ...] = ()
    wanted: frozenset[str] = frozenset()

    @property
    def complete(self) -> bool:
        """Whether the model has all its tensors."""
        return self.count > 0 and not self.lacks


def without_wrappers(name: str) -> str:
    """A name without what wrappers around parts of the model put in its middle."""
    return _INSIDE.sub("", name)


def best_fit(held: Collection[str], sets: Iterable[frozenset[str]], known: tuple[str, ...] = ()) -> Fit:
    """The prefix with which most names of one of ``sets`` are among ``held``.

    Args:
        known: parts of trainers' modules, those that loaders take first at the front.

    Raises:
        FormatError: two prefixes fit equally well, and nothing says which.
    """
    found: dict[str, Fit] = {}
    for wanted in sets:
        for prefix in _before(held, wanted):
            lacks = tuple(sorted(n for n in wanted if prefix + n not in held and not _OPTIONAL.search(n)))
            fit = Fit(prefix, sum(prefix + name in held for name in wanted), lacks, wanted)
            if fit.count > found.get(prefix, Fit()).count:
                found[prefix] = fit
    most = max((fit.count for fit in found.values()), default=0)
    best = [fit for fit in found.values() if fit.count == most]
    if not best:
        return Fit()

    def rank(fit: Fit) -> int:
        first = fit.prefix.partition(".")[0]
        return -1 if not fit.prefix else known.index(first) if first in known else len(known)

    best.sort(key=rank)
    if len(best) > 1 and rank(best[0]) == rank(best[1]):
        shown = ", ".join(printable(fit.prefix, 60) for fit in best[:6])
        raise FormatError(f"the names fit the model behind several prefixes ({shown}): say which with --prefix")
    return best[0]


def _before(held: Collection[str], wanted: frozenset[str]) -> list[str]:
    """What stands in ``held`` before a few names of ``wanted`` spread over it; always nothing, too."""
    names = sorted(name for name in wanted if not _OPTIONAL.search(name))
    anchors = names[:: max(1, len(names) // _ANCHORS)][: _ANCHORS + 1]
    ends = tuple("." + anchor for anchor in anchors)
    found: Counter[str] = Counter()
    for name in held:
        if name.endswith(ends):
            found.update(name[: -len(anchor)] for anchor in anchors if name.endswith("." + anchor))
    return ["", *(prefix for prefix, _ in found.most_common(_MOST_PREFIXES))]


def common_prefix(held: Collection[str]) -> str:
    """What stands before every name because the model was wrapped, perhaps twice; a counter of averaging aside."""
    names = [name for name in held if name not in _COUNTERS]
    taken = ""
    for _ in range(_DEEPEST):
        rest = [name.removeprefix(taken) for name in names]
        more = next((prefix for prefix in PREFIXES if all(name.startswith(prefix) for name in rest)), "")
        if not rest or not more or any(name == more for name in rest):
            break
        taken += more
    return taken


def first_parts(names: Iterable[str]) -> str:
    """The first parts of names with how many begin so: ``model. (92 tensors), criterion. (1 tensor)``."""
    counts = Counter(name.partition(".")[0] + "." if "." in name else name for name in names)
    rows = [f"{printable(part, 60)} ({counted(count)})" for part, count in counts.most_common(8)]
    return ", ".join(rows) + (f" and {len(counts) - 8} more" if len(counts) > 8 else "")


def counted(count: int) -> str:
    """``1 tensor``, ``92 tensors``."""
    return "1 tensor" if count == 1 else f"{count:,} tensors"
