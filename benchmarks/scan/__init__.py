"""What the static scan finds and what it costs, beside other scanners."""
