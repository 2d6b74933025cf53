"""What becomes of a judged workload: failure text, table, document, traces, JUnit scalars, page, GitHub summary."""
