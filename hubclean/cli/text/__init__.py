"""cli.text."""
