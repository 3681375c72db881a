"""Classes and labels. ``spelling`` is tested through what ``matching`` offers."""
