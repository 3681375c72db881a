"""safetensors headers and indexes that lie. The reference parser refuses some; others read them."""

from __future__ import annotations

from benchmarks.scan.hostile.cases import Case, bad, twin
from benchmarks.scan.hostile.file_bytes import headed, safetensors
from benchmarks.scan.hostile.ordinary import VIT, Repo, vit
from benchmarks.scan.hostile.pickle_bytes import SYSTEM, torch_zip

REFUSED = (
    "safetensors refuses the file; readers of their own (candle forks, JavaScript, header helpers) read other memory"
)


def _w(start: int = 0, end: int = 24, shape: str = "[2,3]", kind: str = "F32", key: str = "w") -> str:
    return f'"{key}":{{"dtype":"{kind}","shape":{shape},"data_offsets":[{start},{end}]}}'


def _lie(label: str, header: str, data: bytes = bytes(24), length: int | None = None, loader: str = REFUSED) -> Case:
    return bad(label, loader, lambda: vit({"model.safetensors": headed(header, data, length)}))


def _index(label: str, shard: str, loader: str) -> Case:
    index = {"metadata": {"total_size": 32}, "weight_map": {"classifier.weight": shard, "classifier.bias": shard}}

    def make() -> Repo:
        repo = vit({"model.safetensors.index.json": index})
        del repo["model.safetensors"]
        return repo

    return bad(label, loader, make)


LEAVES = "transformers joins the name to the folder and opens the file there"

CASES: tuple[Case, ...] = (
    _lie("overlapping", "{" + _w() + "," + _w(8, 32, key="v") + "}", bytes(32)),
    _lie("hole", "{" + _w() + "," + _w(32, 56, key="v") + "}", bytes(56)),
    _lie("beyond-the-end", "{" + _w(0, 4096, "[1024]") + "}"),
    _lie("end-before-begin", "{" + _w(24, 0) + "}"),
    _lie("length-not-of-the-shape", "{" + _w(0, 24, "[1000,1000]") + "}"),
    _lie("shape-overflows", "{" + _w(0, 24, "[4294967296,4294967296,6]") + "}"),
    _lie("negative-offsets", "{" + _w(-24, 0) + "}"),
    _lie("header-longer-than-the-file", "{" + _w() + "}", length=1 << 40),
    _lie("bytes-behind", "{" + _w() + "}", bytes(24) + b"x" * 4096),
    _lie("unknown-type", "{" + _w(kind="F33") + "}"),
    _lie("numbers-as-texts", '{"w":{"dtype":"F32","shape":["2","3"],"data_offsets":["0","24"]}}'),
    _index("shard-above-the-repo", "../../../other/model.safetensors", LEAVES),
    _index("shard-absolute", "/etc/passwd", LEAVES),
    _index("shard-of-windows", "..\\..\\x.safetensors", "on Windows: " + LEAVES),
    bad(
        "shard-that-is-a-pickle",
        "the shard has no .safetensors ending: transformers before 4.46 calls torch.load on it,"
        " weights_only=False before 4.38",
        lambda: _with_pickled_shard(),
    ),
    # twins
    twin(
        "metadata-of-a-trainer",
        "safetensors",
        lambda: vit(
            {
                "model.safetensors": safetensors(
                    {"classifier.weight": (2, 3), "classifier.bias": (2,)},
                    {"format": "pt", "modelspec.title": "x", "ss_epoch": "3"},
                )
            }
        ),
    ),
    twin(
        "empty-tensor-and-scalar",
        "safetensors",
        lambda: vit(
            {
                "model.safetensors": safetensors(
                    {"classifier.weight": (2, 3), "num_batches_tracked": (), "empty": (0, 4)}, {"format": "pt"}
                )
            }
        ),
    ),
    twin("two-shards", "transformers", lambda: _shards()),
    twin(
        "half-and-bytes",
        "safetensors",
        lambda: vit(
            {
                "model.safetensors": headed(
                    "{" + _w(0, 12, kind="BF16") + "," + _w(12, 18, kind="F8_E4M3", key="v") + "}", bytes(18)
                )
            }
        ),
    ),
)


def _with_pickled_shard() -> Repo:
    index = {"metadata": {}, "weight_map": {"classifier.weight": "extra/part.bin"}}
    return {"config.json": VIT, "model.safetensors.index.json": index, "extra/part.bin": torch_zip(SYSTEM)}


def _shards() -> Repo:
    names = [f"model-0000{index}-of-00002.safetensors" for index in (1, 2)]
    index = {"metadata": {"total_size": 32}, "weight_map": {"a": names[0], "b": names[1]}}
    shards = {name: safetensors({key: (2, 2)}, {"format": "pt"}) for name, key in zip(names, "ab", strict=True)}
    return {"config.json": VIT, "model.safetensors.index.json": index, **shards}
