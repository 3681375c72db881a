"""LZ4 frames against the reference library: what it writes is read, what is broken is refused."""

from __future__ import annotations

import contextlib
import time

import lz4.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubclean.errors import FormatError
from hubclean.scanning.compression.unpacking import Bomb, BrokenPacking, unpacked

BODIES = st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 3000)), max_size=6).map(
    lambda rows: b"".join(body * times for body, times in rows)
)


@given(
    body=BODIES,
    linked=st.booleans(),
    level=st.sampled_from([0, 3, 12]),
    sums=st.booleans(),
    size=st.booleans(),
    largest=st.sampled_from([lz4.frame.BLOCKSIZE_MAX64KB, lz4.frame.BLOCKSIZE_MAX4MB]),
)
def test_what_the_library_writes(body: bytes, linked: bool, level: int, sums: bool, size: bool, largest: int) -> None:
    frame = lz4.frame.compress(
        body,
        compression_level=level,
        block_linked=linked,
        block_checksum=sums,
        content_checksum=sums,
        store_size=size,
        block_size=largest,
    )
    assert unpacked("lz4", frame, 1 << 20) == body
    assert unpacked("lz4", frame + frame, 2 << 20) == body * 2  # frames one behind the other


@given(
    body=BODIES.filter(bool), changes=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), max_size=4),
    cut=st.integers(0, 60),
)  # fmt: skip
def test_broken_frames_end_in_one_error(body: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    frame = bytearray(lz4.frame.compress(body))
    for at, value in changes:
        frame[at % len(frame)] = value
    with contextlib.suppress(BrokenPacking, Bomb):
        assert isinstance(unpacked("lz4", bytes(frame[: len(frame) - cut]), 1 << 20), bytes)


def test_a_cut_frame_is_refused() -> None:
    with pytest.raises(BrokenPacking, match="cut") as caught:
        unpacked("lz4", lz4.frame.compress(b"some text" * 9)[:-6], 1 << 20)
    assert isinstance(caught.value.__cause__, FormatError)


def test_small_linked_blocks_cost_what_they_hold() -> None:
    """Blocks of no byte behind a full window: the window is not copied for each of them."""
    full = (1 << 31 | 65536).to_bytes(4, "little") + bytes(65536)
    frame = b"\x04\x22\x4d\x18\x40\x40\0" + full + b"\0\0\0\x80" * 30_000 + bytes(4)
    before = time.process_time()
    assert unpacked("lz4", frame, 1 << 20) == bytes(65536)
    assert time.process_time() - before < 1


def test_matches_of_linked_blocks_reach_64_kib_back() -> None:
    body = bytes(range(256)) * 3000
    assert (
        unpacked("lz4", lz4.frame.compress(body, block_linked=True, block_size=lz4.frame.BLOCKSIZE_MAX64KB), 1 << 20)
        == body
    )
