"""nets.cut."""
