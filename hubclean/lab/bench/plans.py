"""What a bench runs: methods with options written ``NAME:KEY=VALUE,KEY=VALUE``, data, nets, seeds, sizes."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from hubclean.errors import OptionError, hold_several
from hubclean.lab.bench.small_nets import Net, find_net
from hubclean.registry import Kind, build_method

CLEAN = "clean"


@dataclass(frozen=True)
class Method:
    """A method of one kind with its options as text."""

    kind: Kind
    name: str
    options: str = ""

    @classmethod
    def of(cls, kind: Kind, text: str) -> Method:
        """``NAME`` or ``NAME:KEY=VALUE,KEY=VALUE``, checked.

        Raises:
            OptionError: no such method or option.
        """
        name, _, options = text.partition(":")
        method = cls(kind, name, options)
        if name != CLEAN or kind != "attacks":
            method.build()
        return method

    def build(self) -> Any:
        pairs = [text.partition("=") for text in self.options.split(",") if text]
        if any(not equals for _, equals, _ in pairs):
            raise OptionError(f"options of {self.name} are written KEY=VALUE,KEY=VALUE, not {self.options!r}")
        return build_method(self.kind, self.name, {key: value for key, _, value in pairs})

    def __str__(self) -> str:
        return f"{self.name}:{self.options}" if self.options else self.name


@dataclass(frozen=True)
class Plan:
    """A grid. Every model of ``data`` x ``nets`` x ``attacks`` x ``seeds`` meets every detector, then every defense.

    Args:
        data: folders or ids of image sets with a train and a test split, see ``datasets.load_images``.
        attacks: ``clean`` is the twin; it is trained first, whether named or not.
        train: images to train on, 0 = all; ``fit``, ``val``, ``test`` are drawn from the test split.
        size: side of the images in pixels, 0 = as they are.
        epochs: epochs of training, 0 = as many as the net's schedule has; faint triggers take longer than others.
        retune: also measure whether the backdoor comes back (``retuning.check_retuning``).
    """

    data: tuple[str, ...]
    nets: tuple[str, ...] = ("papers-cnn",)
    attacks: tuple[str, ...] = ("clean", "badnets")
    detectors: tuple[str, ...] = ("neural-cleanse",)
    defenses: tuple[str, ...] = ("fine-pruning",)
    seeds: tuple[int, ...] = (0,)
    train: int = 0
    fit: int = 500
    val: int = 500
    test: int = 3000
    size: int = 0
    epochs: int = 0
    retune: bool = False

    def __post_init__(self) -> None:
        hold_several(self, str, "data", "nets", "attacks", "detectors", "defenses")
        hold_several(self, int, "seeds")

    def checked(self) -> Plan:
        """The plan, if every name and option in it exists.

        Raises:
            OptionError: the first that does not.
        """
        for name in self.nets:
            find_net(name)
        kinds: tuple[tuple[Kind, tuple[str, ...]], ...] = (
            ("attacks", self.attacks),
            ("detectors", self.detectors),
            ("defenses", self.defenses),
        )
        for kind, texts in kinds:
            for text in texts:
                Method.of(kind, text)
        if min(self.train, self.size, self.epochs) < 0 or min(self.fit, self.val, self.test) < 1:
            raise OptionError("sizes are at least 1; train, size and epochs may be 0")
        return self

    def models(self) -> Iterator[tuple[str, Net, int, tuple[Method, ...]]]:
        """Data, net and seed with the attacks on them, the clean twin first; a cut run has all of the first seeds."""
        attacks = tuple(Method.of("attacks", text) for text in self.attacks if text != CLEAN)
        for seed in self.seeds:
            for data in self.data:
                for name in self.nets:
                    yield data, self._net(name), seed, (Method("attacks", CLEAN), *attacks)

    def _net(self, name: str) -> Net:
        net = find_net(name)
        return replace(net, schedule=replace(net.schedule, epochs=self.epochs)) if self.epochs else net


def read_plan(path: Path) -> Plan:
    """A plan from a TOML file whose keys are the fields of ``Plan``.

    Raises:
        OptionError: not TOML, an unknown key, or a value of the wrong kind.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OptionError(f"{path.name!r} is no plan: {error}") from error
    known = {field.name for field in fields(Plan)}
    if unknown := sorted(values.keys() - known):
        raise OptionError(f"{path.name!r} has an unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")
    empty = Plan(())
    for name, value in values.items():
        like = getattr(empty, name)
        if isinstance(like, tuple):
            part: type = int if name == "seeds" else str
            if not isinstance(value, list) or not all(type(item) is part for item in value):
                raise OptionError(f"{path.name!r}: {name} is a list of {part.__name__}")
            values[name] = tuple(value)
        elif type(value) is not type(like):
            raise OptionError(f"{path.name!r}: {name} is a {type(like).__name__}")
    return replace(empty, **values)


def digest(**facts: Any) -> str:
    """A name for content: 20 hex digits of the sha256 of its JSON."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=_plain).encode()).hexdigest()[:20]


def _plain(value: Any) -> Any:
    return asdict(value)
