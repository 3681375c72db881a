"""Pickles followed without being loaded.

* ``walk``: one stream on an abstract stack: what it refers to and would build.
* ``stack``: that stack; ``calls``: the part of it that knows names and calls.
* ``opcodes``: opcodes from bytes.
* ``values``: what a pickle describes, inert.
* ``allowed_names``: which names it may refer to: ``allowed_names.json``.
* ``called_names``: functions that run commands or code, whoever calls them.
* ``record_names``: the second list, of plain records and trainers' states: ``state_names.json``.
* ``libraries``: names of data libraries beside models: estimators, tables.
* ``odd_calls``: what listed names can be made to do by odd arguments.
* ``streams``: the streams of one file. Start here.
* ``inside``: pickles in the constants of a pickle.
* ``joblib_arrays``: joblib's files, with raw arrays between the opcodes.
* ``torch_tensors``: storages and tensors.
* ``sparse_tensors``: whether the indices of sparse tensors lie inside.
* ``modules``: whole pickled models. ``state_dict``: the weights among them.
* ``tensor_names``: which of their names are the model's, and what stands before them.
* ``advice``: whether ``hubclean convert`` can take the tensors.
"""
