"""Files read by ourselves, strictly, without torch and numpy.

* ``content``: what a file is by its first bytes. Start here.
* ``inert``: pictures, sound, fonts by their first bytes.
* ``names``: what its name promises.
* ``tokenizing``: tokenizers.
* ``strict_json``: JSON: one value, no key twice, bounded.
* ``yaml_configs``: YAML by its events: tags and targets.
* ``templates``: chat templates, parsed and never rendered; ``templating``: what their expressions may give.
* ``pickle_sniff``: whether bytes read as a pickle.
* ``msgpack``: MessagePack as Flax writes it.
* ``protobuf_wire``: protobuf messages, by range.
* ``graphs``: graphs of operators for other runtimes.
* ``npy``: NumPy's header.
* ``safetensors_header``: safetensors headers and shard indexes.
* ``safetensors_writer``: safetensors written tensor by tensor.
* ``hdf5``: HDF5 files.
* ``tensorflow``: files of TensorFlow and Keras.
* ``zip_directory``: the directory of a zip, read leniently.
* ``zip_structure``: what is wrong with a zip as a whole.
* ``torchscript``: which operators TorchScript calls.
* ``zip_found``: what is found in a zip.
* ``zip_members``: its members, judged by content.
* ``packing``: compressed streams and tar.
* ``zip_graphs``: those that name what to build.
* ``torch_zip``: a zip that torch wrote.
* ``torch_checkpoint``: tensors of a torch checkpoint, without unpickling.
* ``torch_to_safetensors``: the pickled weights of a repo as safetensors.
"""
