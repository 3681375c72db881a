"""Kinds that were thought of after the scan had been mended on all others: what people push besides.

Scanned once before anything was mended on them; docs/results/scan.md tells of that first run.

- ``stand_ins.py``   pickles of libraries that are not installed: classes under their names
- ``trainers.py``    states of DeepSpeed, FSDP, accelerate, TRL, old Trainers
- ``adapters.py``    what PEFT, diffusers and fine-tuning tools write
- ``checkpoints.py`` torch files of research code: timm, open_clip, detectron2, MONAI, skorch, quantized ones
- ``models.py``      layouts of transformers and hub mixins
- ``desks.py``       private things beside: caches, notes, editors, archives, documents, data sets
- ``exports.py``     Keras 3, OpenVINO, Core ML, Neuron, TensorFlow 1, JAX, edge runtimes
- ``sklearn_files.py`` label encoders, arrays and estimators beside
- ``twins.py``       their bad twins
"""
