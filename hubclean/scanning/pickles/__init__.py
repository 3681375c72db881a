"""scanning.pickles."""
