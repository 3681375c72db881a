"""Fuzzes one parser in this process: ``python -m benchmarks.fuzz.one TARGET FOLDER [libFuzzer's options]``.

The folder is filled with the seeds first. A run that takes more operations than a file of that size may, of those that
every parser counts, is a crash; so are two seconds of processor time, and more memory than ``-rss_limit_mb``.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["hubclean"]):
    from benchmarks.fuzz import targets
    from hubclean.registry import methods

    methods("scanners")  # found by a folder walk, so imported only now

SECONDS = 2.0


def timed(name: str, data: bytes) -> None:
    """One run.

    Raises:
        AssertionError: it took too many operations or too long, or what the target asserts does not hold.
    """
    started = time.process_time()
    targets.counted(name, data)
    taken = time.process_time() - started
    assert taken <= SECONDS, f"{taken:.1f} s for {len(data)} bytes"


def main() -> None:
    """Hand over to libFuzzer, which never returns."""
    from benchmarks.fuzz.seeds import SEEDS, WORDS

    name, folder, *options = sys.argv[1:]
    for number, body in enumerate(SEEDS[name]):
        Path(folder, f"seed-{number}").write_bytes(body)
    words = Path(folder).with_suffix(".dict")
    words.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in WORDS))
    atheris.Setup([sys.argv[0], folder, f"-dict={words}", *options], lambda data: timed(name, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
