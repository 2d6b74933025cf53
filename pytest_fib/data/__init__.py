"""The FlashInfer-Trace schema: models, the dataset on disk, tolerant readers and strict writers.

Nothing here imports torch. Import from the modules themselves, so that each user pays only for what it needs.
"""
