"""Traces. All is tested on whole nets, through what the finder claims of their units: ``recorder``, ``follower``,
``flow``, ``reductions``, ``operators``, ``channel_ids`` and ``meta_values``. ``locate`` has its tests where its answer
is used: ``tests/nets/cut/test_features.py``.
"""
