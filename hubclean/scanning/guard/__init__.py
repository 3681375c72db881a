"""scanning.guard."""
