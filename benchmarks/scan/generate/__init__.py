"""Makes small files with the real libraries, each in an environment of its own; nothing here is run in CI."""
