"""Features read, units silenced by hooks and in the file, both proved alike; statistics; pruning.

* ``pruning``: units taken away in a given order, accuracy while they go. Start here; ``nets.loading`` writes the
  file.
* ``masks``: units of the whole net silenced, with gradients or for good, and the proof.
* ``features``: features at the heads, read and cut.
* ``feature_channels``: the channels there as units.
* ``positions``: single inputs of the first Linear behind a flatten as units.
* ``searchable_units``: the units that mask methods search.
* ``activations``: statistics in one pass.
* ``batch_norms``: BatchNorm: whose it is, and its statistics.
"""
