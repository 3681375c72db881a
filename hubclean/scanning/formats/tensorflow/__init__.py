"""Files of TensorFlow and Keras, read by ourselves, by range.

* ``tfrecord``: TFRecord framing with its masked CRC32C, and the events inside.
* ``graphs``: SavedModels, frozen graphs, meta graphs: their operators.
* ``text_graphs``: the same as text.
* ``operators``: operators that reach files, the network or Python.
* ``bundle``: the index of a checkpoint.
* ``keras_config``: configs of Keras: code, classes from elsewhere, layers that open files.
* ``keras_names``: which modules and names a Keras config may refer to.
* ``tfjs``: TensorFlow.js: the manifest of its weights.
"""
