"""The only modules that touch other pytest plugins: pytest-benchmark and pytest-xdist. Both may be absent."""
