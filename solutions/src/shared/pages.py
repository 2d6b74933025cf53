"""Where the tokens of paged sequences lie in the cache."""

from __future__ import annotations

from collections.abc import Iterator

import torch


def token_slots(
    kv_indptr: torch.Tensor, kv_indices: torch.Tensor, last_page_len: torch.Tensor | None, page_size: int
) -> Iterator[torch.Tensor]:
    """Yield, for each sequence, the places of its tokens in the cache flattened to [pages * page_size, ...]."""
    offsets = torch.arange(page_size, device=kv_indices.device)
    slots = kv_indices.long().unsqueeze(1) * page_size + offsets
    bounds = kv_indptr.tolist()
    filled = [page_size] * (len(bounds) - 1) if last_page_len is None else last_page_len.tolist()
    for first, last, in_last_page in zip(bounds, bounds[1:], filled, strict=False):
        length = (last - first - 1) * page_size + in_last_page
        yield slots[first:last].flatten()[: max(length, 0)]
