"""Drawing tokens from probabilities whose tail is cut off."""

from __future__ import annotations

import torch


def keep_top_k(probs: torch.Tensor, top_k: int) -> torch.Tensor:
    """Zero all but the ``top_k`` largest of a row [vocab_size] and make the sum 1; of equals the first stay.

    top_k <= 0 and top_k >= vocab_size keep the row as it is.
    """
    if top_k <= 0 or top_k >= probs.shape[0]:
        return probs
    order = torch.argsort(probs, descending=True, stable=True)[:top_k]
    kept = torch.zeros_like(probs)
    kept[order] = probs[order]
    return kept / kept.sum()


def keep_top_p(probs: torch.Tensor, top_p: float) -> torch.Tensor:
    """Zero all of a row [vocab_size] but its fewest largest values whose sum exceeds ``top_p``; make the sum 1.

    The value with which the sum exceeds top_p stays. top_p <= 0 keeps the largest value alone, top_p >= 1
    keeps the row as it is.
    """
    if top_p >= 1:
        return probs
    values, order = torch.sort(probs, descending=True, stable=True)
    count = int((values.cumsum(dim=0) <= top_p).sum()) + 1
    kept = torch.zeros_like(probs)
    kept[order[:count]] = values[:count]
    return kept / kept.sum()


def top_k_sampling(probs: torch.Tensor, top_k: torch.Tensor) -> torch.Tensor:
    """Draw one token per row from the ``top_k`` most probable ones, in proportion to ``probs``.

    probs [batch_size, vocab_size] float32 and top_k [batch_size] int32; returns [batch_size] int64, drawn by
    torch's global generator. Source: Fan et al., Hierarchical Neural Story Generation, section 5.4.
    """
    limits = top_k.tolist()
    samples = [torch.multinomial(keep_top_k(row, k), 1) for row, k in zip(probs, limits, strict=True)]
    return torch.cat([top_k.new_empty(0, dtype=torch.int64), *samples])


def top_p_sampling(probs: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """Draw one token per row from the fewest most probable ones whose sum exceeds ``top_p``.

    probs [batch_size, vocab_size] float32 and top_p [batch_size] float32; returns [batch_size] int64, drawn by
    torch's global generator. Source: Holtzman et al., The Curious Case of Neural Text Degeneration, section 3.1.
    """
    limits = top_p.tolist()
    samples = [torch.multinomial(keep_top_p(row, p), 1) for row, p in zip(probs, limits, strict=True)]
    return torch.cat([top_p.new_empty(0, dtype=torch.int64), *samples])


def top_k_top_p_sampling(probs: torch.Tensor, top_k: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """Draw one token per row from the ``top_k`` most probable ones, made to sum to 1 and then cut by ``top_p``.

    probs [batch_size, vocab_size] float32, top_k [batch_size] int32 and top_p [batch_size] float32; returns
    [batch_size] int64, drawn by torch's global generator. Sources: Fan et al., Hierarchical Neural Story
    Generation, section 5.4; Holtzman et al., The Curious Case of Neural Text Degeneration, section 3.1.
    """
    limits = zip(probs, top_k.tolist(), top_p.tolist(), strict=True)
    samples = [torch.multinomial(keep_top_p(keep_top_k(row, k), p), 1) for row, k, p in limits]
    return torch.cat([top_k.new_empty(0, dtype=torch.int64), *samples])


PROBS = {"probs": ("float32", "batch_size vocab_size")}
TOP_K = {"top_k": ("int32", "batch_size")}
TOP_P = {"top_p": ("float32", "batch_size")}
COMMON = {"axes": "batch_size vocab_size", "outputs": {"samples": ("int64", "batch_size")}}

BY_TOP_K = "top_k_sampling_from_probs_v{vocab_size}"
BY_TOP_P = "top_p_sampling_from_probs_v{vocab_size}"
BY_BOTH = "top_k_top_p_sampling_from_probs_v{vocab_size}"

FAMILIES = {
    BY_TOP_K: {
        "description": "One token per row, drawn from the k most probable ones.",
        "reference": [keep_top_k, top_k_sampling],
        "inputs": {**PROBS, **TOP_K},
        **COMMON,
    },
    BY_TOP_P: {
        "description": "One token per row, drawn from the fewest most probable ones that exceed a share.",
        "reference": [keep_top_p, top_p_sampling],
        "inputs": {**PROBS, **TOP_P},
        **COMMON,
    },
    BY_BOTH: {
        "description": "One token per row, drawn from the k most probable ones cut off at a share of their sum.",
        "reference": [keep_top_k, keep_top_p, top_k_top_p_sampling],
        "inputs": {**PROBS, **TOP_K, **TOP_P},
        **COMMON,
    },
}


def _batches(*sizes: int) -> list[dict[str, int]]:
    return [{"batch_size": size} for size in sizes]


SMALL = _batches(1, 3, 7, 16)
SERVED = _batches(1, 16, 64, 128)

TABLE = [
    # trace set, family, sizes of the constant axes, workloads
    ("mini", BY_TOP_K, {"vocab_size": 1000}, SMALL),
    ("mini", BY_TOP_P, {"vocab_size": 1000}, SMALL),
    ("mini", BY_BOTH, {"vocab_size": 1000}, SMALL),
    ("flashinfer", BY_TOP_K, {"vocab_size": 128256}, SERVED),
    ("flashinfer", BY_TOP_P, {"vocab_size": 129280}, SERVED),
    ("flashinfer", BY_BOTH, {"vocab_size": 151936}, SERVED),
]
