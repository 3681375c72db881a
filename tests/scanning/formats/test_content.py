"""What a file is by its first bytes: words that a text may begin with are no signatures."""

from __future__ import annotations

import pytest

from hubclean.scanning.formats.content import sniff


@pytest.mark.parametrize(
    "begin",
    ["BM25 retrieval", "GGUF quants", "PAR1", "BZh", "GIF8", "ID3 tags", "wOFF", "abcdftyp", "ARROW1", "abcdTFL3"],
)
def test_a_text_that_begins_with_a_signature_is_a_text(begin: str) -> None:
    text = f"{begin} of a model\n".encode() * 300
    assert sniff(text[:4096], len(text)) == "text"
    assert sniff("é".encode() * 2000 + text, 9000) == "text"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"BM" + bytes(60), "image"),
        (b"GGUF\x03\0\0\0" + bytes(60), "gguf"),
        (b"PAR1\x15\x04" + bytes(60), "parquet"),
        (b"BZh91AY&SY\x01" + b"\xff" * 60, "bzip2"),
        (b"%PDF-1.7\n%text\n", "pdf"),
        (b"GGUF" + b"\xff" * 60, "gguf"),
    ],
)
def test_a_binary_format_stays_one(body: bytes, kind: str) -> None:
    assert sniff(body, len(body)) == kind
