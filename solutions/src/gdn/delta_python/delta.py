"""Gated delta nets with torch: prefill takes chunks of tokens at once, by solving triangular systems."""

from __future__ import annotations

import math

import torch
from torch.nn.functional import softplus

CHUNK = 32
Pair = tuple[torch.Tensor, torch.Tensor]


def decode(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    state: torch.Tensor,
    A_log: torch.Tensor,
    a: torch.Tensor,
    dt_bias: torch.Tensor,
    b: torch.Tensor,
    scale: float,
) -> Pair:
    """One token per sequence."""
    output, new_state = _step(state, *_spread(q, k, v, scale), *_gates(a, b, A_log, dt_bias), 0)
    return output.to(v.dtype).unsqueeze(1), new_state


def mtp(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    initial_state: torch.Tensor,
    initial_state_indices: torch.Tensor,
    A_log: torch.Tensor,
    a: torch.Tensor,
    dt_bias: torch.Tensor,
    b: torch.Tensor,
    scale: float,
    intermediate_states_buffer: torch.Tensor,
) -> Pair:
    """Several tokens per sequence; the state after each goes into the buffer, those of the pool stay."""
    tokens, gates = _spread(q, k, v, scale), _gates(a, b, A_log, dt_bias)
    rows = initial_state_indices.long()
    state, output = initial_state[rows], torch.empty_like(v)
    for t in range(q.shape[1]):
        output[:, t], state = _step(state, *tokens, *gates, t)
        intermediate_states_buffer[rows, t] = state
    return output, initial_state.clone()


def prefill(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    state: torch.Tensor,
    A_log: torch.Tensor,
    a: torch.Tensor,
    dt_bias: torch.Tensor,
    b: torch.Tensor,
    cu_seqlens: torch.Tensor,
    scale: float,
) -> Pair:
    """Packed sequences, a chunk of each at once; what is beyond a sequence's end neither decays nor adds."""
    tokens, (log_decay, beta) = _spread(q, k, v, scale), _gates(a, b, A_log, dt_bias)
    firsts, ends, places = cu_seqlens[:-1], cu_seqlens[1:], torch.arange(CHUNK, device=q.device)
    lengths = ends - firsts
    output = torch.empty_like(v)
    new_state = torch.where((lengths > 0)[:, None, None, None], state, 0.0)
    for start in range(0, max(lengths.tolist(), default=0), CHUNK):
        longer = (lengths > start).nonzero().squeeze(1)
        rows = firsts[longer, None] + start + places
        real = rows < ends[longer, None]
        rows = rows.clamp(max=len(q) - 1)
        gates = [x[rows].where(real.unsqueeze(-1), 0.0) for x in (log_decay, beta)]
        chunk = [x.transpose(1, 2) for x in (*(x[rows] for x in tokens), *gates)]
        read, new_state[longer] = _chunk(new_state[longer], *chunk)
        output[rows[real]] = read.transpose(1, 2)[real].to(v.dtype)
    return output, new_state


def _spread(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> list[torch.Tensor]:
    """q (scaled), k and v in float32, all with the heads of v."""
    group = v.shape[-2] // q.shape[-2]
    scaled = q.float() * (scale or 1 / math.sqrt(q.shape[-1]))
    return [scaled.repeat_interleave(group, dim=-2), k.float().repeat_interleave(group, dim=-2), v.float()]


def _gates(a: torch.Tensor, b: torch.Tensor, A_log: torch.Tensor, dt_bias: torch.Tensor) -> Pair:
    """Logarithms of the decays, and betas."""
    return -A_log.exp() * softplus(a.float() + dt_bias), b.float().sigmoid()


def _step(
    state: torch.Tensor,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    log_decay: torch.Tensor,
    beta: torch.Tensor,
    t: int,
) -> Pair:
    """Token t of each sequence [n, tokens, heads, ...]; returns what is read, and the new states."""
    state = state * log_decay[:, t, :, None, None].exp()
    error = beta[:, t, :, None] * (v[:, t] - torch.einsum("nhvk,nhk->nhv", state, k[:, t]))
    state = torch.addcmul(state, error.unsqueeze(-1), k[:, t].unsqueeze(-2))
    return torch.einsum("nhvk,nhk->nhv", state, q[:, t]), state


def _chunk(
    state: torch.Tensor,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    log_decay: torch.Tensor,
    beta: torch.Tensor,
) -> Pair:
    """Tokens [n, heads, tokens, ...] of n sequences at once; returns what they read, and the states after them.

    The state after token i is the first one, decayed, plus all errors e_j k_j^T with j <= i, decayed from j to i.
    What token i adds depends on what the tokens before it have added: a triangular system for the errors.
    """
    decayed = log_decay.cumsum(-1)
    later = torch.ones(k.shape[-2], k.shape[-2], dtype=torch.bool, device=k.device).triu(1)
    between = (decayed.unsqueeze(-1) - decayed.unsqueeze(-2)).masked_fill(later, -math.inf).exp()
    since_start = decayed.exp().unsqueeze(-1)
    beta = beta.unsqueeze(-1)
    missing = beta * (v - since_start * (k @ state.mT))
    system = beta * between * (k @ k.mT)
    errors = torch.linalg.solve_triangular(system, missing, upper=False, unitriangular=True)
    read = since_start * (q @ state.mT) + (between * (q @ k.mT)) @ errors
    kept = since_start[..., -1:, :] * state + (between[..., -1, :, None] * errors).mT @ k
    return read, kept
