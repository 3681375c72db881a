"""One static check a file; nothing here imports torch."""
