"""What judge and candidate share, and nothing else: the wire format and the layout of the memory arena.

Both sides import this package, so it must stay free of torch, pydantic and everything that judges or runs.
"""
