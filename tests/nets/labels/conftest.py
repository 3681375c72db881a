"""Classes and labels. ``spelling`` and ``lookup`` are tested through ``matching``."""
