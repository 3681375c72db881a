"""Neural Cleanse's trigger inversion, many labels at once.

* ``invert``: one row a label; rows can be paused and resumed. Start here.
* ``label_states``: parameters, Adam's moments, weights and counters, movable by rows.
* ``label_scheduler``: labels parked in the host's memory, advanced a step at a time, shared among processes.
* ``screening``: which of many labels get a full inversion.
* ``evidence``: what speaks for or against a trigger beside its size.
* ``anew``: triggers inverted once more from other starts, to judge a repair by.
* ``pairs``: one source class and one target; ``pair_search``: which pairs are inverted.
* ``no_verdict``: where masks decide nothing, in words.
"""
