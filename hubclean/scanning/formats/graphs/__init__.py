"""Graphs of operators for runtimes other than torch, read by range and never run.

* ``locations``: whether what a model names lies in its repo.
* ``onnx_model``: ONNX.
* ``gguf``: GGUF.
* ``flatbuffer``: FlatBuffers.
* ``tflite_model``: TFLite.
* ``coreml_model``: Core ML.
* ``openvino_ir``: OpenVINO.
* ``export_archive``: programs of ``torch.export``.
"""
