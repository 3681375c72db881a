"""YAML, by PyYAML's own events: nothing is composed, constructed or expanded.

* ``events``: tags, keys and values of a text, however they are spelled. Start here.
* ``targets``: what the names in them would make a loader do.
"""
