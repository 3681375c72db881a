"""The second list: names that trainers and Python itself write for plain records, and how each may be used.

``state_names.json`` holds classes and enums of trainers' states (``tools/state_names.py`` writes it), ``_PLAIN`` below
those of Python. They are no weights, so a pickle that holds them is told of (HC-PKL-010, low). None runs anything when
it is used as its library writes it; used otherwise it counts as any other name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import IntEnum
from functools import cache
from pathlib import Path

from hubclean.scanning.pickles.allowed_names import is_dangerous, resolved
from hubclean.scanning.pickles.libraries.known import estimators
from hubclean.scanning.pickles.values import Items, Made, Name, Pairs, Unknown, Value

# Kind -> names. ``new``: made by ``__new__`` alone, with a dict as state; ``enum``: of one constant; ``made``: of plain
# arguments; ``type``: a type of Python's own; ``dict``: a subclass of dict, made empty; ``named``: only referred to;
# the others are one function each, or one class with a state of its own: numpy's and Python's random numbers, and what
# ``torch.distributed.checkpoint`` says of a tensor.
_PLAIN_TEXT = {
    "new": "argparse.Namespace types.SimpleNamespace uuid.UUID",
    "enum": "uuid.SafeUUID",
    "made": """datetime.datetime datetime.date datetime.time datetime.timedelta datetime.timezone decimal.Decimal
        fractions.Fraction collections.deque pathlib.Path pathlib.PosixPath pathlib.WindowsPath pathlib.PurePath
        pathlib.PurePosixPath pathlib.PureWindowsPath pathlib._local.Path pathlib._local.PosixPath
        pathlib._local.WindowsPath pathlib._local.PurePosixPath pathlib._local.PureWindowsPath""",
    "type": """builtins.bool builtins.int builtins.float builtins.str builtins.bytes builtins.list builtins.dict
        builtins.tuple builtins.object builtins.frozenset builtins.slice builtins.range builtins.Ellipsis
        builtins.NotImplemented builtins.type""",
    "generator": "torch._C.Generator",
    "random": """numpy.random._pickle.__randomstate_ctor numpy.random._pickle.__generator_ctor
        numpy.random._pickle.__bit_generator_ctor numpy.random.__RandomState_ctor random.Random
        numpy.random.bit_generator.__pyx_unpickle_SeedSequence""",
    "drawn": """numpy.random._mt19937.MT19937 numpy.random._pcg64.PCG64 numpy.random._pcg64.PCG64DXSM
        numpy.random._philox.Philox numpy.random._sfc64.SFC64 numpy.random.bit_generator.SeedSequence""",
    "properties": """torch.distributed.checkpoint.metadata.TensorProperties
        torch.distributed._shard.sharded_tensor.metadata.TensorProperties""",
    "factory": "collections.defaultdict",
    "getattr": "builtins.getattr",
    "rebuild": "copyreg._reconstructor",
    "inner": "torch.storage._load_from_bytes",
}
_FUNCTIONS = ("getattr", "rebuild", "inner")
_SCRIPTS = ("__main__", "__mp_main__")
_REFERENCES = ("functools.partial", "operator.attrgetter", "operator.itemgetter")  # make what only a later call runs
_LONGEST_RANGE = 1 << 20
_LONGEST_NUMBER = 400


class Use(IntEnum):
    """How a name is used, the worst last: as its library writes it, as an argument, to make a mere reference, oddly."""

    PROPER = 1
    HANDED = 2
    REFERS = 3
    ODD = 4


@cache
def _kinds() -> dict[tuple[str, str], str]:
    kinds = {}
    for kind, text in _PLAIN_TEXT.items():
        for path in text.split():
            module, _, name = path.rpartition(".")
            kinds[module, name] = kind
    document = json.loads((Path(__file__).parent / "state_names.json").read_text("utf-8"))
    for kind in ("new", "enum", "dict", "tuple", "named"):
        kinds |= {(row[0], row[1]): kind for row in document[kind]}
    return kinds


def state_names() -> frozenset[tuple[str, str]]:
    """Every listed pair of module and name."""
    return frozenset(_kinds())


def kind_of(module: str, name: str, protocol: int) -> str:
    """How a name may be used; empty if it is not listed, under each of the names by which readers look it up."""
    if module in _SCRIPTS and name[:1].isupper():
        return "new"  # a class of the script that wrote it: whoever has none of that name makes nothing
    if (module, name) in estimators():
        return "new"
    seen = {resolved(module, name)} | ({(module, name)} if protocol >= 3 else set())
    kinds = {_kinds().get(pair, "") for pair in seen}
    return kinds.pop() if len(kinds) == 1 else ""


def is_plain(kind: str, use: Use | None) -> bool:
    """Whether a name of a kind makes nothing but a plain record where it is used so."""
    return use is Use.PROPER if kind in _FUNCTIONS else bool(kind) and use in (None, Use.PROPER, Use.HANDED)


def use_of(made: Made) -> Use:
    """How the name is used that this call calls."""
    maker = made.maker
    given = made.arguments.items if isinstance(made.arguments, Items) and made.arguments.kind == "tuple" else None
    if not isinstance(maker, Name) or given is None:
        return Use.ODD
    if maker.path in _REFERENCES:
        return Use.REFERS if given and not _is_dangerous(given[0]) else Use.ODD
    proper = _PROPER.get(maker.kind)
    if proper and proper(made, given):
        return Use.PROPER
    if maker.kind == "getattr" and _refers(given):
        return Use.REFERS
    return Use.ODD


def _refers(given: list[Value]) -> bool:
    """A bound method or attribute, as Python pickles it: of something harmless, by a public name."""
    name = given[1] if len(given) == 2 else None
    held = isinstance(given[0], Made) or (isinstance(given[0], Name) and not _is_dangerous(given[0]))
    return held and _is_member(name) and not str(name).startswith("__")


def _is_member(name: object) -> bool:
    return isinstance(name, str) and len(name) <= 256 and name.isidentifier()


def _is_dangerous(value: Value) -> bool:
    return isinstance(value, Name) and is_dangerous(value.module, value.name)


def _plain(value: Value) -> bool:
    return not isinstance(value, (Name, Unknown))


def _is_new(made: Made, given: list[Value]) -> bool:
    return made.new and not given


def _is_enum(made: Made, given: list[Value]) -> bool:
    return not made.new and len(given) == 1 and isinstance(given[0], (str, int, float, bytes, type(None)))


def _is_made(made: Made, given: list[Value]) -> bool:
    assert isinstance(made.maker, Name)
    if made.maker.name in ("Fraction", "Decimal"):
        return all(isinstance(value, (int, str)) and len(str(value)) <= _LONGEST_NUMBER for value in given) and not any(
            isinstance(value, str) and "e" in value.lower() and made.maker.name == "Fraction" for value in given
        )
    return len(given) <= 64 and all(map(_plain, given))


def _is_type(made: Made, given: list[Value]) -> bool:
    assert isinstance(made.maker, Name)
    name = resolved(made.maker.module, made.maker.name)[1]
    if name == "range":
        return all(type(value) is int and abs(value) <= _LONGEST_RANGE for value in given)
    if name == "slice":
        return len(given) <= 3 and all(map(_plain, given))
    if name == "type":
        return given == [None]
    return not given or (name == "frozenset" and len(given) == 1 and isinstance(given[0], Items))


def _is_factory(made: Made, given: list[Value]) -> bool:
    kinds = ("type", "factory")
    made_here = ("collections.OrderedDict", "collections.Counter", "builtins.set", "__builtin__.set")
    return len(given) <= 1 and all(
        value is None or (isinstance(value, Name) and (value.kind in kinds or value.path in made_here))
        for value in given
    )


def _is_attribute(made: Made, given: list[Value]) -> bool:
    """A member of a listed enum, as Python 3.11 pickles it."""
    member = given[1] if len(given) == 2 else None
    owner = given[0] if given else None
    named = _is_member(member) and not str(member).startswith("_")
    return named and isinstance(owner, Name) and owner.kind == "enum" and not made.new


def _is_rebuilt(made: Made, given: list[Value]) -> bool:
    """A listed class, as protocols 0 and 1 write it."""
    names = [(value.kind, value.name) for value in given[:2] if isinstance(value, Name)]
    return (
        len(names) == 2
        and len(given) == 3
        and names[0][0] == "new"
        and names[1] == ("type", "object")
        and (given[2] is None)
    )


def inner_file(made: Made) -> bytes | None:
    """The torch file that a call of ``_load_from_bytes`` reads: so a plain pickle holds a tensor."""
    given = made.arguments.items if isinstance(made.arguments, Items) else []
    if len(given) != 1 or not isinstance(made.maker, Name) or made.maker.kind != "inner":
        return None
    held = given[0]
    if isinstance(held, Made) and held.path == "_codecs.encode" and isinstance(held.arguments, Items):
        text = held.arguments.items[0] if held.arguments.items else None  # as protocols below 3 write bytes
        try:
            return text.encode("latin-1") if isinstance(text, str) else None
        except UnicodeEncodeError:
            return None
    return held if isinstance(held, bytes) else None


def _is_random(made: Made, given: list[Value]) -> bool:
    """Numbers, what numpy wrote before, the name of a generator of numpy's, and the function that makes one."""
    if any(isinstance(value, Unknown) for value in given) or made.new or len(given) > 3:
        return False
    return all(value.kind in ("random", "drawn") for value in given if isinstance(value, Name))


_PROPER: dict[str, Callable[[Made, list[Value]], bool]] = {
    "random": _is_random,
    "properties": lambda made, given: made.new and not given,
    "new": lambda made, given: _is_new(made, given) or (_is_simple(made) and not given),
    "enum": _is_enum,
    "made": _is_made,
    "type": _is_type,
    "dict": _is_new,
    "tuple": _is_new,
    "generator": lambda made, given: len(given) == 1 and _plain(given[0]),
    "factory": _is_factory,
    "getattr": _is_attribute,
    "drawn": lambda made, given: False,
    "rebuild": _is_rebuilt,
    "inner": lambda made, given: inner_file(made) is not None,
}


def _is_simple(made: Made) -> bool:
    return isinstance(made.maker, Name) and made.maker.path == "types.SimpleNamespace"


def keeps_state(made: Made, state: Value) -> bool:
    """Whether BUILD only fills the attributes of a plain record: a dict, on what has attributes of its own."""
    assert isinstance(made.maker, Name)
    if made.maker.kind == "generator":
        return isinstance(state, Items) and not any(isinstance(value, (Name, Unknown)) for value in state.items[:8])
    if made.maker.kind == "tuple":
        return isinstance(state, Items) and state.kind == "tuple"
    if made.maker.kind in ("properties", "random"):
        parts = state.items if isinstance(state, Items) else []
        return isinstance(state, Pairs) or (bool(parts) and not any(isinstance(part, Unknown) for part in parts))
    return isinstance(state, Pairs) and made.maker.kind in ("new", "rebuild", "dict")


def takes_items(made: Made) -> bool:
    """Whether APPEND only puts items into it."""
    return isinstance(made.maker, Name) and (made.maker.kind, made.maker.name) == ("made", "deque")


def takes_pairs(made: Made) -> bool:
    """Whether SETITEM only puts pairs into it."""
    return isinstance(made.maker, Name) and made.maker.kind in ("factory", "dict")
