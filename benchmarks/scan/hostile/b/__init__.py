"""Set B: held out from those who mend. One module a kind, the same kinds as set A; each has ``CASES``."""
