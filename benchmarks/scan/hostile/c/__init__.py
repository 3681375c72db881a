"""Set C: a second red team's, frozen before its first run; held out. One module a kind; each has ``CASES``."""
