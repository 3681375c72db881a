"""What a Python project's TOML has an installer fetch from elsewhere: pip, uv, Poetry, PDM, Hatch, Pixi, Pipenv.

Sources: PEP 518, 621 and 735; the documentation of each tool on its indexes and sources.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

from hubclean.errors import FormatError
from hubclean.scanning.budget import spend
from hubclean.scanning.configs.requirements import Source, sources_in

LONGEST = 128 << 10  # bytes
_MOST_DOTS = 200  # of a line: Python's own parser takes more than the square of them for a key
_TABLES = frozenset(
    {"project", "build-system", "dependency-groups", "source", "packages", "dev-packages", "index", "sources", "pip"}
    | {"workspace", "dependencies", "pypi-dependencies", "pypi-options", "feature", "target"}
    | {"index-url", "extra-index-url", "find-links", "default-index", "constraint-dependencies"}
)
_TOOLS = frozenset({"uv", "poetry", "pdm", "hatch", "pixi", "pip", "pipenv", "rye", "flit", "setuptools"})
# Where a project says who made it and where one can read of it.
_WORDS = frozenset(
    {"urls", "homepage", "repository", "documentation", "changelog", "description", "readme", "authors", "maintainers"}
    | {"license", "classifiers", "keywords", "scripts", "entry-points", "gui-scripts"}
)


def project_sources(text: bytes) -> Iterator[Source]:
    """The addresses from which an installer of the project would install, but for known indexes.

    Raises:
        FormatError: it is no TOML, or not of a length and form that can be parsed.
    """
    if len(text) > LONGEST or any(line.count(b".") > _MOST_DOTS for line in text.splitlines()):
        raise FormatError("the project file is too long, or a line of it has too many parts")
    try:
        root = tomllib.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"the project file does not parse: {type(error).__name__}") from error
    tools = root.get("tool")
    todo: list[object] = [value for key, value in root.items() if key in _TABLES]
    todo += [value for key, value in tools.items() if key in _TOOLS] if isinstance(tools, dict) else []
    while todo:
        spend()
        value = todo.pop()
        if isinstance(value, dict):
            todo += [held for key, held in value.items() if key.lower() not in _WORDS]
        elif isinstance(value, list):
            todo += value
        elif isinstance(value, str):
            yield from sources_in(value)
