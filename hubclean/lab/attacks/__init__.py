"""One attack a file: for tests, the demo, benchmarks and red teams. Never reachable from a defense."""
