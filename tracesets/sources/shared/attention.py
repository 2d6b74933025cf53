"""Softmax attention of one sequence, which the references of several op types are made of."""

from __future__ import annotations

import math

import torch


def attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, sm_scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attend from one query q [heads, d] to k and v [n, kv_heads, d], n > 0, in float32.

    Query head h uses key-value head h // (heads / kv_heads). Returns the output [heads, d] and the base-2
    logarithm of the sum of exponentials [heads]: ``lse = log2(sum over j of exp(sm_scale * q . k_j))``.
    """
    kv_heads = k.shape[1]
    grouped = q.to(torch.float32).view(kv_heads, -1, q.shape[-1])
    keys = k.to(torch.float32).permute(1, 2, 0)
    values = v.to(torch.float32).transpose(0, 1)
    logits = torch.bmm(grouped, keys) * sm_scale
    lse = torch.logsumexp(logits, dim=-1)
    output = torch.bmm(torch.exp(logits - lse.unsqueeze(-1)), values)
    return output.flatten(0, 1), lse.flatten() / math.log(2.0)


def attend_causal(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, sm_scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attend causally from the queries q [nq, heads, d] to k [nk, kv_heads, d] and v [nk, kv_heads, e], in float32.

    Query i sees the keys j <= i + nk - nq: the last query sees all. Query head h uses key-value head
    h // (heads / kv_heads). A query that sees no key has output 0 and lse -inf. Returns the output
    [nq, heads, e] in the type of q, and lse (base 2) [nq, heads] float32.
    """
    rows_at_once = 256  # bounds the logits in memory and skips keys that none of these rows sees
    queries, heads = q.shape[:2]
    output = torch.zeros((queries, heads, v.shape[-1]), dtype=q.dtype, device=q.device)
    lse = torch.full((queries, heads), -math.inf, dtype=torch.float32, device=q.device)
    shift = k.shape[0] - queries
    keys = k.to(torch.float32).permute(1, 2, 0)
    values = v.to(torch.float32).transpose(0, 1)
    for start in range(max(0, -shift), queries, rows_at_once):
        stop = min(start + rows_at_once, queries)
        seen = stop + shift
        rows = torch.arange(start, stop, device=q.device)
        hidden = torch.arange(seen, device=q.device) > (rows + shift).unsqueeze(-1)
        block = q[start:stop].to(torch.float32).unflatten(1, (k.shape[1], -1)).permute(1, 2, 0, 3)
        logits = torch.matmul(block, keys[:, None, :, :seen]) * sm_scale
        logits.masked_fill_(hidden, -math.inf)
        sums = torch.logsumexp(logits, dim=-1)
        weights = torch.exp(logits - sums.unsqueeze(-1))
        attended = torch.matmul(weights, values[:, None, :seen])
        output[start:stop] = attended.permute(2, 0, 1, 3).flatten(1, 2).to(q.dtype)
        lse[start:stop] = sums.permute(2, 0, 1).flatten(1, 2) / math.log(2.0)
    return output, lse
