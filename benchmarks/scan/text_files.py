"""How many of the text files of an installation are taken for pickles: none may be.

python -m benchmarks.scan.text_files --out benchmarks/results/text_files.json

Every file of the standard library and of the environment's packages that is UTF-8 text by its first bytes is asked,
under its own name and as ``pytorch_model.bin``. Names of what was taken for a pickle are printed, counts are written.
"""

from __future__ import annotations

import argparse
import json
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from hubclean.scanning.formats import pickle_sniff
from hubclean.scanning.formats.content import sniff
from hubclean.scanning.formats.names import HEAD, PICKLE_NAMES, suffix

SHOWN = 40
PICKLES = (".pck", ".pickle", ".pkl")  # pickles of protocol 0 among the libraries' own test files: true ones


def texts(root: Path, without: Path | None = None) -> Iterator[Path]:
    """Files below a folder that are text by their first bytes and no pickles by their names."""
    for place in sorted(root.rglob("*")):
        if (
            place.suffix in PICKLES
            or place.is_symlink()
            or not place.is_file()
            or (without and without in place.parents)
        ):
            continue
        head = place.open("rb").read(HEAD)
        try:
            head.decode("utf-8")
        except UnicodeDecodeError as error:
            if error.start < len(head) - 3:
                continue
        if head and b"\0" not in head:
            yield place


def taken(place: Path, named: bool) -> bool:
    """Whether the scan takes a file for a pickle, or cannot tell."""
    size = place.stat().st_size
    with place.open("rb") as file:
        head = file.read(HEAD)

        def more(length: int) -> bytes:
            file.seek(0)
            return file.read(length)

        return sniff(head, size) == "pickle" or pickle_sniff.reads_as_pickle(head, size, named, more) is not False


def counted(places: Iterator[Path], named: bool) -> dict[str, object]:
    """Files by ending, and how many of them were taken for pickles."""
    files: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for place in places:
        kind = suffix(place.name) or "(no ending)"
        files[kind] += 1
        if taken(place, named or kind in PICKLE_NAMES):
            wrong[kind] += 1
            print(place, file=sys.stderr)
    common = dict(files.most_common(SHOWN))
    rest = sum(files.values()) - sum(common.values())
    return {"files": sum(files.values()), "taken": dict(wrong), "by ending": common, "other endings": rest}


def main() -> None:
    """Count, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    library, packages = (Path(sysconfig.get_path(key)) for key in ("stdlib", "purelib"))
    found = {"command": "python -m benchmarks.scan.text_files --out benchmarks/results/text_files.json"}
    roots = {"standard library": (library, library / "site-packages"), "site-packages": (packages, None)}
    for title, (root, without) in roots.items():
        for named in (False, True):
            key = f"{title}, {'as pytorch_model.bin' if named else 'under their own names'}"
            found[key] = counted(texts(root, without), named)  # type: ignore[assignment]
    options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
