"""Everything that runs in the process with untrusted code: zygote, limits, serving loop.

``python -m pytest_fib.candidate`` starts a zygote. Nothing here knows a clock, a reference, a seed or a verdict.
"""
