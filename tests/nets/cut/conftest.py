"""Cuts. ``masks`` is tested on the hand-made nets of ``tests/nets/trace`` and through ``tests/methods/masking``,
``batch_norms`` through the defenses that use it (``tests/methods/defenses``).
"""
