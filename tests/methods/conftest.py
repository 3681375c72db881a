"""Methods. The contract tests run over all that are registered. ``tolerance`` and ``shared_options`` are tested
through the methods that use them, ``weight_limits`` through ``extreme-weights`` and ``federated-pruning``.
"""
