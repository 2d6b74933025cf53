"""Gated delta nets with torch: prefill takes a chunk of tokens at once, by solving a triangular system for it."""

from __future__ import annotations

import math
from itertools import pairwise

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
    """Packed sequences, one after the other, in chunks."""
    heads_first = [x.transpose(0, 1) for x in _spread(q, k, v, scale)]
    log_decay, beta = (x.T for x in _gates(a, b, A_log, dt_bias))
    output, new_state = torch.empty_like(v), torch.zeros_like(state)
    bounds = cu_seqlens.tolist()
    for n, (first, last) in enumerate(pairwise(bounds)):
        if last > first:
            new_state[n] = state[n]
        for start in range(first, last, CHUNK):
            part = slice(start, min(start + CHUNK, last))
            tokens = [x[:, part] for x in (*heads_first, log_decay, beta)]
            read, new_state[n] = _chunk(new_state[n], *tokens)
            output[part] = read.transpose(0, 1)
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
    """Tokens [heads, tokens, ...] of one sequence at once; returns what they read, and the state after them.

    The state after token i is the first one, decayed, plus all errors e_j k_j^T with j <= i, decayed from j to i.
    What token i adds depends on what the tokens before it have added: a triangular system for the errors.
    """
    decayed = log_decay.cumsum(-1)
    tokens = torch.arange(k.shape[1], device=k.device)
    earlier = tokens[:, None] >= tokens
    between = (decayed[:, :, None] - decayed[:, None, :]).masked_fill(~earlier, -math.inf).exp()
    since_start = decayed.exp().unsqueeze(-1)
    beta = beta.unsqueeze(-1)
    missing = beta * (v - since_start * (k @ state.mT))
    system = beta * between * (k @ k.mT)
    errors = torch.linalg.solve_triangular(system, missing, upper=False, unitriangular=True)
    read = since_start * (q @ state.mT) + (between * (q @ k.mT)) @ errors
    kept = since_start[:, -1:] * state + (between[:, -1, :, None] * errors).mT @ k
    return read, kept
