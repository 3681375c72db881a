"""Graphs of operators for runtimes other than torch, read by range and never run.

* ``locations``: whether what a model names lies in its repo.
* ``onnx_model``: ONNX.
"""
