"""The scan, on files of ``support/scanned_files.py`` and ``support/pickled.py`` or on a loopback Hub.

``document``, ``sarif`` and ``cyclonedx`` are tested in ``test_outputs.py``, ``refusal`` through download, convert and
clean, ``rules`` and ``sources`` by every test of a scanner.
"""
