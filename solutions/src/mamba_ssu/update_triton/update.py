"""Mamba's selective state update: one program per sequence and head, which overwrites its slot of a copied cache."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .softplus import softplus


@triton.jit
def _update_kernel(
    state_ptr,
    x_ptr,
    dt_ptr,
    A_ptr,
    B_ptr,
    C_ptr,
    D_ptr,
    dt_bias_ptr,
    slots_ptr,
    output_ptr,
    new_state_ptr,
    heads,
    groups,
    DIM: tl.constexpr,
    STATES: tl.constexpr,
):
    sequence = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    group = head // (heads // groups)
    channel = tl.arange(0, DIM)
    n = tl.arange(0, STATES)
    matrix = channel[:, None] * STATES + n[None, :]
    place = (sequence * heads + head) * DIM + channel
    slot = tl.load(slots_ptr + sequence).to(tl.int64)
    if slot < 0:
        tl.store(output_ptr + place, tl.full((DIM,), 0.0, dtype=tl.bfloat16))
    else:
        x = tl.load(x_ptr + place).to(tl.float32)
        step = tl.load(dt_ptr + place).to(tl.float32) + tl.load(dt_bias_ptr + head * DIM + channel).to(
            tl.float32
        )
        delta = softplus(step)
        A = tl.load(A_ptr + head * DIM * STATES + matrix)
        B = tl.load(B_ptr + (sequence * groups + group) * STATES + n).to(tl.float32)
        C = tl.load(C_ptr + (sequence * groups + group) * STATES + n).to(tl.float32)
        D = tl.load(D_ptr + head * DIM + channel).to(tl.float32)
        first = (slot * heads + head) * DIM * STATES
        state = tl.load(state_ptr + first + matrix).to(tl.float32)
        state = state * tl.exp(delta[:, None] * A) + (delta * x)[:, None] * B[None, :]
        tl.store(new_state_ptr + first + matrix, state.to(tl.bfloat16))
        read = tl.sum(state * C[None, :], axis=1) + D * x
        tl.store(output_ptr + place, read.to(tl.bfloat16))


def update(
    state: torch.Tensor,
    x: torch.Tensor,
    dt: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor,
    dt_bias: torch.Tensor,
    state_batch_indices: torch.Tensor,
    output: torch.Tensor,
    new_state: torch.Tensor,
) -> None:
    """The whole cache is copied first; sequences then overwrite their slots."""
    new_state.copy_(state)
    batch, heads, dim = x.shape
    _update_kernel[(batch, heads)](
        state,
        x,
        dt,
        A,
        B,
        C,
        D,
        dt_bias,
        state_batch_indices,
        output,
        new_state,
        heads,
        B.shape[1],
        DIM=dim,
        STATES=state.shape[3],
    )
