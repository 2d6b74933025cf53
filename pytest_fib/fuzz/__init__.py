"""Shapes that nobody published: drawn from a definition's axes by hypothesis, judged, and shrunk.

``axes`` says which sizes belong together, ``sizes`` which ones are worth trying, ``shapes`` makes workloads of them,
and ``search`` lets hypothesis draw and shrink. Nothing here knows pytest or the judge.
"""
