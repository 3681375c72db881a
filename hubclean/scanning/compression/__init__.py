"""Compressed streams, unpacked in memory.

* ``unpacking``: all kinds, within a budget. Start here.
* ``lz4_frames``: LZ4, which Python has not.
"""
