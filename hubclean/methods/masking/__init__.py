"""methods.masking."""
