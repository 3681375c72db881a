"""Results as text for a terminal; strings from a repo are escaped.

* ``scan``: findings, files not checked, the table of many targets.
* ``policy``: what a target was judged by.
* ``clean``: before and after, trials, retuning.
* ``site``: feature layer, heads, units.
* ``verdict``: one verdict, one detection, as lines.
* ``errors``: every failure as one escaped sentence on stderr.
* ``layout``: columns, percents, plurals, colours.
"""
