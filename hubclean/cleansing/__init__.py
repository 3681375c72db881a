"""cleansing."""
