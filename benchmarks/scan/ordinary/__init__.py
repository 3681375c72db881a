"""Folders in the layouts of popular and ordinary vision repos, their bad twins, and what the scan says of them.

Run on demand, with the real libraries, in a virtual environment of its own (``requirements.txt``); never in CI.

Start here: ``kinds.py`` says what a kind of repo is and what is expected of it.

- ``kinds.py``         the registry of kinds: name, loader, exit codes that are right
- ``base_models.py``   what Google, Microsoft, Meta, Apple and OpenAI published: three frameworks side by side
- ``processors.py``    image processors, tokenizers, model cards and git files as the libraries write them
- ``trained.py``       what the Trainer, AutoTrain, accelerate and PEFT push
- ``torch_files.py``   timm, open_clip, state dicts, Lightning, fastai, whole models, TorchScript
- ``layouts.py``       shards, variants, subfolders, pipelines, notebooks, images and scripts beside
- ``exports.py``       repos without torch weights: ONNX, Keras, TensorFlow, TFLite, Core ML, OpenVINO, GGUF, sklearn
- ``other_formats.py`` files of those formats, by their libraries or, where these are missing, byte for byte by hand
- ``old_frameworks.py`` runs in a second environment: TensorFlow and Flax weights as transformers 4 wrote them
- ``payloads.py``      the payloads of the bad twins: one in one file
- ``twin_files.py``    the same for files of other formats
- ``twin_list.py``     the bad twins: kind, file, mechanism
- ``generate.py``      writes all of them and a manifest
- ``table.py``         scans all of them and counts
- ``loaders.py``       which files the real loaders ask a Hub for: fixtures of the tests
"""
