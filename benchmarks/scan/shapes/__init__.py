"""Repos of a kind and a size: what a scan might be slow on. Each shape takes a size and gives files.

* ``texts``: long lines, deep nesting and many values in every text format.
* ``pickled``: pickles, alone and in zips.
* ``binary``: zips, tars, streams, graphs and tables with hostile counts.
* ``repos``: many files, many shards, two weight files beside each other.
"""

from collections.abc import Callable

Files = dict[str, bytes]
Shape = Callable[[int], Files]
