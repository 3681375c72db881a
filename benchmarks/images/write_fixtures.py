"""Write ``fixtures/``: ``python benchmarks/images/write_fixtures.py`` in a venv with polars, webdataset and pillow."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl
import webdataset as wds
from PIL import Image

PLACE = Path(__file__).parent / "fixtures"
NAMES = ("cat", "dog", "ship")


def png(number: int) -> bytes:
    body = io.BytesIO()
    Image.new("RGB", (8, 8), (number * 8, 255 - number * 8, number % 3 * 100)).save(body, "PNG")
    return body.getvalue()


def main() -> None:
    PLACE.mkdir(exist_ok=True)
    pictures = [png(number) for number in range(12)]
    names = [NAMES[number % 3] for number in range(12)]
    kind = pl.Enum(["ship", "dog", "cat"])  # not the order of the labels
    table = pl.DataFrame({"image": pictures, "label": names}, schema={"image": pl.Binary, "label": kind})
    table.write_parquet(PLACE / "polars_bytes.parquet")
    structs = [{"bytes": one, "path": f"{number}.png"} for number, one in enumerate(pictures)]
    numbers = [number % 3 for number in range(12)]
    pl.DataFrame({"img": structs, "label": numbers, "id": list(range(12))}).write_parquet(
        PLACE / "polars_structs.parquet"
    )
    table.write_ipc(PLACE / "polars.arrow")
    for name, rows in (("train", range(4)), ("val", range(4, 6))):
        with wds.TarWriter(str(PLACE / f"pets-{name}-000000.tar")) as shard:
            for row in rows:
                shard.write({"__key__": f"{row:04d}", "png": pictures[row], "cls": numbers[row]})
    with wds.TarWriter(str(PLACE / "json.tar")) as shard:
        for row in range(2):
            shard.write({"__key__": f"a/{row}", "png": pictures[row], "json": {"label": names[row], "width": 8}})


main()
