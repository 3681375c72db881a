"""nets.construction."""
