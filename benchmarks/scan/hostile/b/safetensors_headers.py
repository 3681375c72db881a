"""safetensors headers and indexes once more."""

from __future__ import annotations

from benchmarks.scan.hostile.cases import Case, bad, twin
from benchmarks.scan.hostile.file_bytes import headed, safetensors
from benchmarks.scan.hostile.ordinary import Repo, vit, weights

REFUSED = "safetensors refuses the file; other readers of the format take it and read what the header claims"


def _entry(key: str = "w", shape: str = "[2,3]", offsets: str = "[0,24]", kind: str = '"F32"') -> str:
    return f'"{key}":{{"dtype":{kind},"shape":{shape},"data_offsets":{offsets}}}'


def _lie(label: str, header: str | bytes, data: bytes = bytes(24), length: int | None = None) -> Case:
    return bad(label, REFUSED, lambda: vit({"model.safetensors": headed(header, data, length)}))


def _indexed(label: str, content: dict[str, object] | list[object], loader: str) -> Case:
    def make() -> Repo:
        repo = vit({"model.safetensors.index.json": content})
        del repo["model.safetensors"]
        return repo

    return bad(label, loader, make)


CASES: tuple[Case, ...] = (
    _lie("a-list", "[" + "{" + _entry() + "}" + "]"),
    _lie("floating-offsets", "{" + _entry(offsets="[0.0,24.0]") + "}"),
    _lie("small-letters", "{" + _entry(kind='"f32"') + "}"),
    _lie("three-offsets", "{" + _entry(offsets="[0,24,48]") + "}"),
    _lie("offsets-of-128-bits", "{" + _entry(offsets="[0,340282366920938463463374607431768211480]") + "}"),
    _lie("same-bytes-for-two", "{" + _entry() + "," + _entry("v") + "}"),
    _lie("not-utf-8", b'{"\xff\xfe":' + ("{" + _entry() + "}").encode()[5:]),
    _lie("cut-off", ("{" + _entry() + "}")[:-9]),
    _lie("length-above-the-bound", "{" + _entry() + "}", length=2**63 + 8),
    _lie("data-missing", "{" + _entry(shape="[512,512]", offsets="[0,1048576]") + "}", bytes(16)),
    bad(
        "tensor-twice-by-escape",
        "parsers differ which of the two counts",
        lambda: vit(
            {
                "model.safetensors": headed(
                    "{" + _entry("w") + "," + _entry("\\u0077", offsets="[24,48]") + "}", bytes(48)
                )
            }
        ),
    ),
    _indexed(
        "shard-by-home",
        {"metadata": {}, "weight_map": {"w": "sub/../../../../.ssh/id_rsa"}},
        "transformers opens that file",
    ),
    _indexed(
        "shard-of-a-drive",
        {"metadata": {}, "weight_map": {"w": "C:/x/model.safetensors"}},
        "on Windows opens that file",
    ),
    bad(
        "pointer-in-place-of-weights",
        "the loader reads 130 bytes of text as weights, or a tool fetches what it names",
        lambda: vit(
            {"model.safetensors": f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 123456\n"}
        ),
    ),
    # twins
    twin(
        "many-small",
        "safetensors",
        lambda: vit(
            {"model.safetensors": safetensors({f"layers.{i}.weight": (2,) for i in range(200)}, {"format": "pt"})}
        ),
    ),
    twin(
        "odd-names",
        "safetensors",
        lambda: vit({"model.safetensors": safetensors({"модель/вес": (1,), "a b": (1,), "🤗": (2,)})}),
    ),
    twin("no-metadata", "safetensors", lambda: vit({"model.safetensors": safetensors({"classifier.weight": (2, 3)})})),
    twin("adapters-beside", "safetensors", lambda: vit({"lora/pytorch_lora_weights.safetensors": weights("pt")})),
)
