"""Commands: one file each, tested through the command line, most of them in ``test_help_and_exit_codes.py``.

``demo`` and ``bench`` have their tests with what they run, in ``tests/lab``.
"""
