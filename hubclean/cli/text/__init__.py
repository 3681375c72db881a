"""Results as text for a terminal; strings from a repo are escaped.

* ``scan``: findings, files not checked, the table of many targets.
* ``documents``: scans as JSON, SARIF and CycloneDX, on stdout or in files.
* ``policy``: what a target was judged by.
* ``clean``: before and after, trials, retuning.
* ``verify``: what is as stated, and the places of what is not.
* ``site``: feature layer, heads, units.
* ``verdict``: one verdict, one detection, as lines.
* ``errors``: every failure as one escaped sentence on stderr.
* ``layout``: columns, percents, plurals, colours.
"""
