"""One recorded forward: where features, heads and units are in it. Names no family of nets.

* ``recorder``: the recording: which value came from which. Start here.
* ``locate``: the last feature layer and the heads.
* ``unit_finder``: the prunable units of the whole net.
* ``units``: a unit: its stored numbers, what reads it, where a hook can reach it.
* ``flattened``: the first Linear that reads a flattened map.
* ``follower``: the channels of one layer followed to every reader.
* ``flow``: what becomes of them.
* ``channel_ids``: arrays of channel numbers.
* ``operators``: what operators do to channels.
* ``reductions``: operators that sum over an axis.
* ``meta_values``: values that depend on neither images nor weights.
"""
