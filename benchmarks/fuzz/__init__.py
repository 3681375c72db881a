"""A coverage-guided fuzzer (atheris, libFuzzer) on every parser of the scan: ``make fuzz``."""
