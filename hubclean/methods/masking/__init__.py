"""Masks over the units of the whole net: what MNP, RNP and ANP share.

* ``options``: the options that all three have.
* ``search``: learns masks by projected gradient descent. Start here.
* ``suppression``: suppresses what a net knows of clean images, by gradient ascent.
* ``prune``: units in order of rising mask, while clean accuracy holds.
"""
