"""What files are packed in.

* ``unpacking``: compressed streams, in memory.
* ``tar``: tar headers, by range.
* ``zip_series``: several zips one behind the other.
"""
