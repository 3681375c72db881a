"""Formats. Tested through others: ``zip_directory`` and ``zip_structure`` through ``zip_members``; ``torch_zip``,
``pickle_sniff`` and ``content`` through the files of ``tests/scanning/pickles`` and ``tests/scanning/scanners``;
``torch_to_safetensors`` and ``safetensors_writer`` through ``tests/scanning/test_converting.py``.
"""
