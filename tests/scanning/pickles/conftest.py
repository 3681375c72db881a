"""Pickles. ``opcodes``, ``stack``, ``values`` and ``odd_calls`` are tested through the walk, one stream a mechanism;
``streams`` and ``torch_tensors`` through torch's own files.
"""
