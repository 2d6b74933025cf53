"""What becomes of a judged workload: failure text, terminal table, JSON document, trace files, JUnit scalars."""
