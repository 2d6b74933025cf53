"""Where the tokens of paged sequences lie in the cache."""

from __future__ import annotations

import torch


def token_slots(
    kv_indptr: torch.Tensor, kv_indices: torch.Tensor, lengths: torch.Tensor, page_size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Slots [batch, longest] of each sequence's tokens in the flattened cache, and which of them exist."""
    longest = int(lengths.max()) if lengths.numel() else 0
    position = torch.arange(longest, device=lengths.device)
    exists = position < lengths.unsqueeze(1)
    entry = kv_indptr[:-1].unsqueeze(1) + position // page_size
    page = kv_indices.long()[torch.where(exists, entry, 0)] if kv_indices.numel() else entry.long()
    return page * page_size + position % page_size, exists
