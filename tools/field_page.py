"""The page of the fields that loaders read of configs, from the table in the code."""

from __future__ import annotations

from hubclean.scanning.configs.loader_fields import FIELDS, LIBRARIES, Reads
from tools.markdown import cell

# What the loader does, what the scan says of it, and what to do.
_KINDS: dict[Reads, tuple[str, str, str]] = {
    "code": (
        "a class or function of the repo, or of another, is run",
        "HC-CFG-001 high",
        "read the code it names first",
    ),
    "import": (
        "a module of that name is imported",
        "HC-CFG-001 high, but for the library's own modules",
        "remove the field, or read the module",
    ),
    "kernel": ("code of a Hub repo is fetched and run", "HC-CFG-002 critical", "remove the field"),
    "switch": (
        "true: code of the repo runs",
        "HC-CFG-001 high, HC-CFG-002 critical in a nested config; low for timm's custom_load",
        "remove the field",
    ),
    "weights": (
        "weights or a whole model are loaded from there",
        "HC-CFG-003 high for another repo, an address, a path that leaves; low for what timm's registry names",
        "remove the field, or pin and scan what it names",
    ),
    "base": (
        "the same, and honest repos name another repo there",
        "HC-CFG-003 info for a repo, high for an address or a path that leaves",
        "scan it, too (--follow)",
    ),
    "data": (
        "plain data are read from there",
        "HC-CFG-003 high for an address or a path that leaves, low for another repo",
        "remove the field",
    ),
    "member": (
        "a file of the repo is opened by that name",
        "HC-CFG-003 high for a name that leaves the repo",
        "rename",
    ),
    "name": ("timm looks the name up", "HC-CFG-003 high for a scheme or a path in it", "use a plain name"),
    "path": ("a path, of any library", "HC-CFG-003 high if it climbs out of the repo", "rename"),
    "alias": (
        "other keys get another meaning",
        "judged after the renaming; HC-CFG-001 low by itself",
        "remove the map: no library writes one",
    ),
    "builder": ("timm's factory fetches, reads or wraps", "nothing; hubclean's own loading refuses it", "none"),
}


def fields(made: str) -> str:
    """Every row of the table, and what is said of each kind of field."""
    lines = [
        made,
        "# Fields that loaders read",
        "",
        "By these fields of a config a library runs code or opens something. `hubclean scan` judges them at any depth, "
        "after the renamings that the config itself asks for; `site` and `clean` refuse what is high here and leave "
        "every other field of the table out before a library sees the config. The sources that were read:",
        "",
        *(f"- {library} {versions}" for library, versions in LIBRARIES.items()),
        "",
        "| field | library | read in | the loader |",
        "|---|---|---|---|",
    ]
    for row in FIELDS:
        keys = ", ".join(f"`{key}`" for key in row.keys)
        where = f" below `{row.under}`" if row.under else ""
        where += f" of {', '.join(f'`{name}`' for name in row.only)}" if row.only else ""
        lines.append(f"| {keys}{where} | {row.library} | {cell(row.source)} | {row.reads} |")
    lines += ["", "| the loader | does this | the scan says | what to do |", "|---|---|---|---|"]
    lines += [f"| {kind} | {does} | {says} | {todo} |" for kind, (does, says, todo) in _KINDS.items()]
    return "\n".join(lines) + "\n"
