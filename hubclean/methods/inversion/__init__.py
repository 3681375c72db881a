"""methods.inversion."""
