"""Set A: may be mended on. One module a kind; each has ``CASES``."""
