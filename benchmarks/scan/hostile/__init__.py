"""A red team's own cases: hostile repos and benign twins of the same shape, in three disjoint sets of the same kinds.

The cases were written from the policy and from the loaders' sources, never from the scanners' code. Set A may be
mended on; sets B and C are held out from those who mend, C was written by others after B
had been measured. Code builds all bytes; nothing here is loaded or run, and a payload is no more than
``os.system("true")``.

Start here: ``cases.py`` says what a case is.

- ``cases.py``        a case: name, kind, hostile or twin, what a real loader does with it, its files
- ``ordinary.py``     the repos around the cases: transformers, timm, PEFT, diffusers, sentence-transformers
- ``pickle_bytes.py`` opcodes, state dicts, torch's zip and legacy formats, by hand
- ``file_bytes.py``   safetensors, GGUF, protobuf, NumPy and zips, by hand, also wrong ones
- ``hdf5_bytes.py``   HDF5 by hand: groups, attributes, links, external storage, a user block
- ``keras_bytes.py``  configs and files of Keras, saved_model.pb
- ``onnx_bytes.py``   ONNX models
- ``a/ b/ c/``        the three sets, one module a kind
- ``sets.py``         all cases of a set, and how often each kind occurs
- ``table.py``        scans every case on a local folder and counts
"""
