"""Pickles followed without being loaded.

* ``walk``: one stream on an abstract stack: what it refers to and would build.
* ``stack``: that stack.
* ``opcodes``: opcodes from bytes.
* ``values``: what a pickle describes, inert.
* ``allowed_names``: which names it may refer to: ``allowed_names.json``.
* ``odd_calls``: what listed names can be made to do by odd arguments.
* ``streams``: the streams of one file. Start here.
* ``torch_tensors``: storages and tensors.
* ``state_dict``: the weights among them.
"""
