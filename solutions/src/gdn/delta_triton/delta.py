"""Gated delta nets: a program keeps some rows of a head's state in registers and takes its tokens one by one."""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl

from .softplus import softplus

ROWS = 32  # of a state, per program


@triton.jit
def _delta_kernel(
    q_ptr,
    k_ptr,
    v_ptr,
    state_ptr,
    places_ptr,
    A_log_ptr,
    a_ptr,
    dt_bias_ptr,
    b_ptr,
    bounds_ptr,
    scale,
    output_ptr,
    new_state_ptr,
    tokens_each,
    qk_heads,
    v_heads,
    DIM: tl.constexpr,
    ROWS: tl.constexpr,
    PACKED: tl.constexpr,
    POOL: tl.constexpr,
):
    # With POOL states come from places of a pool, and new_state takes the state after every token; without, only
    # that after the last one.
    sequence = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    shared = head // (v_heads // qk_heads)
    column = tl.arange(0, DIM)
    row = tl.program_id(2) * ROWS + tl.arange(0, ROWS)
    matrix = row[:, None] * DIM + column[None, :]

    first = sequence * tokens_each
    last = first + tokens_each
    if PACKED:
        first = tl.load(bounds_ptr + sequence)
        last = tl.load(bounds_ptr + sequence + 1)
    place = sequence
    if POOL:
        place = tl.load(places_ptr + sequence).to(tl.int64)
    state = tl.load(state_ptr + (place * v_heads + head) * DIM * DIM + matrix)
    state = tl.where(last > first, state, 0.0)
    speed = tl.exp(tl.load(A_log_ptr + head))
    bias = tl.load(dt_bias_ptr + head)

    for token in range(first, last):
        q = tl.load(q_ptr + (token * qk_heads + shared) * DIM + column).to(tl.float32)
        k = tl.load(k_ptr + (token * qk_heads + shared) * DIM + column).to(tl.float32)
        v = tl.load(v_ptr + (token * v_heads + head) * DIM + row).to(tl.float32)
        step = softplus(tl.load(a_ptr + token * v_heads + head).to(tl.float32) + bias)
        beta = tl.sigmoid(tl.load(b_ptr + token * v_heads + head).to(tl.float32))
        state *= tl.exp(-speed * step)
        error = beta * (v - tl.sum(state * k[None, :], axis=1))
        state += error[:, None] * k[None, :]
        read = scale * tl.sum(state * q[None, :], axis=1)
        tl.store(output_ptr + (token * v_heads + head) * DIM + row, read.to(tl.bfloat16))
        if POOL:
            target = ((place * tokens_each + token - first) * v_heads + head) * DIM * DIM
            tl.store(new_state_ptr + target + matrix, state)
    if not POOL:
        tl.store(new_state_ptr + (place * v_heads + head) * DIM * DIM + matrix, state)


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
    output: torch.Tensor,
    new_state: torch.Tensor,
) -> None:
    """One token per sequence."""
    _run(q, k, v, state, None, A_log, a, dt_bias, b, None, scale, output, new_state)


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
    output: torch.Tensor,
    new_state: torch.Tensor,
) -> None:
    """Packed sequences."""
    _run(q, k, v, state, None, A_log, a, dt_bias, b, cu_seqlens, scale, output, new_state)


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
    output: torch.Tensor,
    final_state: torch.Tensor,
) -> None:
    """Several tokens per sequence; the state after each goes into the buffer, those of the pool stay."""
    places, buffer = initial_state_indices, intermediate_states_buffer
    _run(q, k, v, initial_state, places, A_log, a, dt_bias, b, None, scale, output, buffer)
    final_state.copy_(initial_state)


def _run(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    state: torch.Tensor,
    places: torch.Tensor | None,
    A_log: torch.Tensor,
    a: torch.Tensor,
    dt_bias: torch.Tensor,
    b: torch.Tensor,
    bounds: torch.Tensor | None,
    scale: float,
    output: torch.Tensor,
    new_state: torch.Tensor,
) -> None:
    v_heads, dim = v.shape[-2:]
    sequences = v.shape[0] if bounds is None else len(bounds) - 1
    rows = min(ROWS, dim)
    _delta_kernel[(sequences, v_heads, dim // rows)](
        q,
        k,
        v,
        state,
        A_log if places is None else places,
        A_log,
        a,
        dt_bias,
        b,
        A_log if bounds is None else bounds,
        scale or 1 / math.sqrt(dim),
        output,
        new_state,
        v.shape[1] if bounds is None else 0,
        q.shape[-2],
        v_heads,
        DIM=dim,
        ROWS=rows,
        PACKED=bounds is not None,
        POOL=places is not None,
    )
