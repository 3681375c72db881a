"""Files read by ourselves, strictly, without torch and numpy.

* ``content``: what a file is by its first bytes. Start here.
* ``names``: what its name promises.
* ``strict_json``: JSON: one value, no key twice, bounded.
* ``pickle_sniff``: whether bytes read as a pickle.
* ``npy``: NumPy's header.
* ``safetensors_header``: safetensors headers and shard indexes.
* ``safetensors_writer``: safetensors written tensor by tensor.
* ``zip_directory``: the directory of a zip, read leniently.
* ``zip_structure``: what is wrong with a zip as a whole.
* ``zip_members``: its members, judged by content.
* ``torch_zip``: a zip that torch wrote.
* ``torch_checkpoint``: tensors of a torch checkpoint, without unpickling.
* ``torch_to_safetensors``: the pickled weights of a repo as safetensors.
"""
