"""How people keep pictures, and what hubclean takes of each layout and leaves.

* ``layouts``: the layouts, written to a folder by the libraries that people use.
* ``fixtures/``: files of polars and webdataset; ``write_fixtures`` wrote them, in a venv of its own.
* ``hub``: layouts on a Hub, that of the tests.
* ``run``: ``python -m benchmarks.images.run``: every layout opened; the table and ``results/image_layouts.json``.
"""
