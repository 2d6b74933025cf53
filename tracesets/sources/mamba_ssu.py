"""Mamba's selective state update: one token of every sequence."""

from __future__ import annotations

import torch


def mamba_ssu_decode(
    state: torch.Tensor,
    x: torch.Tensor,
    dt: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor,
    dt_bias: torch.Tensor,
    state_batch_indices: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Selective state update: ``s <- exp(delta A) s + delta x B^T``, ``y = s C + D x``.

    ``delta = softplus(dt + dt_bias)`` per head, channel. x and dt [batch, heads, channels]; A [heads, channels, n];
    B and C [batch, groups, n], each group for heads / groups neighbouring heads; D and dt_bias [heads, channels].
    Sequence b has the state in slot ``state_batch_indices[b]`` of ``state`` [slots, heads, channels, n]; a negative
    slot is padding, whose output is 0. float32 inside; y is read before the state is rounded to bfloat16. Returns y
    like x, and a copy of all of ``state`` in which the slots of the batch are updated.
    Sources: Gu and Dao, Mamba: Linear-Time Sequence Modeling with Selective State Spaces, section 3.2 and
    algorithm 2; Dao and Gu, Transformers are SSMs (Mamba-2), section 7.
    """
    new_state = state.clone()
    output = torch.zeros_like(x)
    real = torch.where(state_batch_indices >= 0)[0]
    slots = state_batch_indices[real].long()
    tokens, steps, inputs, reads = (y[real].to(torch.float32) for y in (x, dt, B, C))
    group = x.shape[1] // B.shape[1]
    inputs = inputs.repeat_interleave(group, dim=1).unsqueeze(2)
    reads = reads.repeat_interleave(group, dim=1).unsqueeze(3)
    delta = torch.nn.functional.softplus(steps + dt_bias.to(torch.float32))
    kept = state[slots].to(torch.float32) * torch.exp(delta.unsqueeze(-1) * A.to(torch.float32))
    updated = kept + (delta * tokens).unsqueeze(-1) * inputs
    read = torch.matmul(updated, reads).squeeze(-1) + D.to(torch.float32) * tokens
    output[real] = read.to(torch.bfloat16)
    new_state[slots] = updated.to(torch.bfloat16)
    return output, new_state


CHANNELS = ("bfloat16", "batch_size nheads head_dim")
GROUPS = ("bfloat16", "batch_size ngroups dstate")
CACHE = ("bfloat16", "state_cache_size nheads head_dim dstate")
PER_CHANNEL = ("bfloat16", "nheads head_dim")
DECODE = "mamba_ssu_decode_h{nheads}_d{head_dim}_s{dstate}_ng{ngroups}"

FAMILIES = {
    DECODE: {
        "description": "Mamba-2 selective state update, one token per sequence, states in slots of a cache.",
        "reference": [mamba_ssu_decode],
        "axes": "batch_size state_cache_size nheads head_dim dstate ngroups",
        "inputs": {
            "state": CACHE,
            "x": CHANNELS,
            "dt": CHANNELS,
            "A": ("float32", "nheads head_dim dstate"),
            "B": GROUPS,
            "C": GROUPS,
            "D": PER_CHANNEL,
            "dt_bias": PER_CHANNEL,
            "state_batch_indices": ("int32", "batch_size"),
        },
        "outputs": {"output": CHANNELS, "new_state": CACHE},
        "constraints": ["nheads % ngroups == 0", "state_cache_size >= batch_size"],
        "tags": ["stage:decode"],
    },
}


def _decode(*cases: tuple[int, int]) -> list[dict[str, int]]:
    """Turn (sequences, slots of the cache) into workloads."""
    return [{"batch_size": batch, "state_cache_size": slots} for batch, slots in cases]


def _sizes(heads: int, channels: int, states: int, groups: int) -> dict[str, int]:
    return {"nheads": heads, "head_dim": channels, "dstate": states, "ngroups": groups}


TABLE = [
    # trace set, family, sizes of the constant axes, workloads
    ("mini", DECODE, _sizes(4, 16, 32, 2), _decode((1, 1), (2, 4), (5, 5), (7, 24))),
    # Nemotron-H 8B on one device and on two
    ("flashinfer", DECODE, _sizes(128, 64, 128, 8), _decode((1, 1), (8, 16), (32, 64))),
    ("flashinfer", DECODE, _sizes(64, 64, 128, 4), _decode((1, 1), (8, 16), (64, 128))),
]
