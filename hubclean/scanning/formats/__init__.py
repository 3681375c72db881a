"""scanning.formats."""
