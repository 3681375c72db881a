"""Clients that attack or fail, one a file: for tests, benchmarks and red teams. No defender's code imports them.

A behaviour is a frozen dataclass with ``name``, ``paper`` and options like a method's; ``around(inner)`` gives a client
that answers in place of ``inner``, which is an honest participant or another behaviour around one.
"""
