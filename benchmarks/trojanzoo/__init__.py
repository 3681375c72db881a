"""Neural Cleanse and Fine-Pruning of trojanzoo (PyPI, 2.0.3, GPL-3) beside ours."""
