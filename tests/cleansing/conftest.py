"""``clean`` from end to end. ``inputs``, ``chosen_methods`` and ``output_folder`` are tested through the pipeline and
the deep scan, ``options`` also by the command line.
"""
