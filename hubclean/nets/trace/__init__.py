"""nets.trace."""
