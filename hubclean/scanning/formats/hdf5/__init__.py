"""HDF5 read by ourselves, by range: its objects, links and attributes, never the numbers.

* ``pages``: blocks of a file, read once, in few requests.
* ``objects``: superblock and object headers: their messages.
* ``messages``: links, attributes, types, layouts, as messages say them.
* ``groups``: groups of the old kind: B-trees and symbol tables.
* ``heaps``: local, global and fractal heaps.
* ``btree``: B-trees of the second kind.
* ``walk``: all of a file.
* ``findings``: what is wrong with it.

Source: "HDF5 File Format Specification", version 3.0, by The HDF Group.
"""
