"""Rotary position embedding with precomputed cosines and sines."""

from __future__ import annotations

import torch


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotate the first channels of x [tokens, heads, head_size] in float32; return them in the dtype of x.

    Channel i < half and channel i + half are a pair, half being the width of cos and sin [tokens, half];
    channels from 2 * half on stay what they are.
    """
    half = cos.shape[-1]
    first, second, rest = x.split([half, half, x.shape[-1] - 2 * half], dim=-1)
    first, second = first.to(torch.float32), second.to(torch.float32)
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    turned = torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
    return torch.cat([turned.to(x.dtype), rest], dim=-1)


def rope_with_cos_sin_cache(
    q: torch.Tensor, k: torch.Tensor, cos_sin_cache: torch.Tensor, positions: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotate queries and keys: ``(x1, x2) -> (x1 cos - x2 sin, x2 cos + x1 sin)``, GPT-NeoX pairing.

    q [tokens, heads, head_size] and k [tokens, kv_heads, head_size] are bfloat16; token t takes row
    ``positions[t]`` of ``cos_sin_cache`` [max_seq_len, rotary_dim], whose first half holds cosines and second
    half sines. The first rotary_dim channels turn, in pairs i and i + rotary_dim / 2; the others stay.
    Sources: Su et al., RoFormer, section 3.2.2; Black et al., GPT-NeoX-20B, section 2.1, for the pairing.
    """
    cos, sin = cos_sin_cache[positions].chunk(2, dim=-1)
    return rotate(q, cos, sin), rotate(k, cos, sin)


Q = ("bfloat16", "num_tokens num_qo_heads head_size")
K = ("bfloat16", "num_tokens num_kv_heads head_size")
NEOX = "rope_with_cos_sin_cache_neox_style_d{head_size}_rd{rotary_dim}"

FAMILIES = {
    NEOX: {
        "description": "Rotary embedding of part of the channels of queries and keys, NeoX pairing, cached angles.",
        "reference": [rotate, rope_with_cos_sin_cache],
        "axes": "num_tokens num_qo_heads num_kv_heads head_size rotary_dim max_seq_len",
        "inputs": {
            "q": Q,
            "k": K,
            "cos_sin_cache": ("float32", "max_seq_len rotary_dim"),
            "positions": ("int64", "num_tokens"),
        },
        "outputs": {"q_out": Q, "k_out": K},
    },
}


def _tokens(heads: int, kv_heads: int, max_seq_len: int, *sizes: int) -> list[dict[str, int]]:
    return [
        {"num_tokens": n, "num_qo_heads": heads, "num_kv_heads": kv_heads, "max_seq_len": max_seq_len}
        for n in sizes
    ]


TABLE = [
    # trace set, family, sizes of the constant axes, workloads. The official size is that of MiniMax M2, whose 48
    # query and 8 key-value heads may be spread over several GPUs.
    (
        "mini",
        NEOX,
        {"head_size": 64, "rotary_dim": 32},
        [*_tokens(4, 2, 128, 1, 7, 33), *_tokens(3, 1, 9, 20), *_tokens(1, 1, 1, 5)],
    ),
    (
        "flashinfer",
        NEOX,
        {"head_size": 128, "rotary_dim": 64},
        [*_tokens(48, 8, 4096, 1, 16, 64, 901, 4096), *_tokens(6, 1, 131072, 64, 8192)],
    ),
]
