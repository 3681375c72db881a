"""methods.voting."""
