"""One backdoor detector a file."""
