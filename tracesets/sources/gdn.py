"""Gated delta nets: one token per sequence, packed sequences, and several tokens per sequence."""

from __future__ import annotations

import math

import torch

CHUNK = 64


def delta_step(
    state: torch.Tensor,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    decay: torch.Tensor,
    beta: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Take one token into states [n, v_heads, v, k]; q and k [n, qk_heads, k], v [n, v_heads, v], float32.

    ``S <- decay * S``, then ``S <- S + beta * (v - S k) k^T``, read by ``o = S q``: the matrix S maps keys to
    values. Each head of q and k serves v_heads / qk_heads neighbouring heads of v. Returns (S, o).
    """
    q = q.repeat_interleave(v.shape[1] // q.shape[1], dim=1).unsqueeze(-1)
    k = k.repeat_interleave(v.shape[1] // k.shape[1], dim=1).unsqueeze(-1)
    decayed = state * decay[..., None, None]
    error = beta.unsqueeze(-1) * (v - torch.matmul(decayed, k).squeeze(-1))
    updated = decayed + error.unsqueeze(-1) * k.transpose(-1, -2)
    return updated, torch.matmul(updated, q).squeeze(-1)


def delta_chunk(
    state: torch.Tensor,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    decay: torch.Tensor,
    beta: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Take t tokens into states [n, heads, v, k] at once; q and k [n, heads, t, k], v [n, heads, t, v], float32.

    Token i does ``S_i = decay_i S_{i-1} + u_i k_i^T`` with ``u_i = beta_i (v_i - decay_i S_{i-1} k_i)``, and reads
    ``o_i = S_i q_i``. With the products ``D_ij = decay_{j+1} ... decay_i`` and ``D_i = decay_1 ... decay_i`` that is
    ``S_i = D_i S_0 + sum over j <= i of D_ij u_j k_j^T``, so that all u solve one triangular system:
    ``u_i + beta_i sum over j < i of D_ij (k_j . k_i) u_j = beta_i (v_i - D_i S_0 k_i)``.
    Products are taken as they stand, not as quotients of the D_i, which may be 0. Returns (S_t, o [n, heads, t, v]).
    What is not finite spreads over all tokens of its sequence among the t.
    Source: Yang, Wang, Zhang, Shen and Kim, Parallelizing Linear Transformers with the Delta Rule over Sequence
    Length, section 3; with decays Yang, Kautz and Hatamizadeh, Gated Delta Networks, section 3.3.
    """
    after = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool, device=q.device).tril(-1)
    between = torch.where(after, decay.unsqueeze(-1), 1.0).cumprod(-2).tril()  # D_ij
    since = decay.cumprod(-1).unsqueeze(-1)  # D_i
    beta = beta.unsqueeze(-1)
    missing = beta * (v - since * (k @ state.mT))
    u = torch.linalg.solve_triangular(beta * between * (k @ k.mT), missing, upper=False, unitriangular=True)
    read = since * (q @ state.mT) + (between * (q @ k.mT)) @ u
    return since[..., -1:, :] * state + (between[..., -1:, :] * u.mT) @ k, read


def gates(
    a: torch.Tensor, b: torch.Tensor, A_log: torch.Tensor, dt_bias: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return decay ``exp(-exp(A_log) * softplus(a + dt_bias))`` and beta ``sigmoid(b)``, float32."""
    step = torch.nn.functional.softplus(a.to(torch.float32) + dt_bias.to(torch.float32))
    return torch.exp(-torch.exp(A_log.to(torch.float32)) * step), torch.sigmoid(b.to(torch.float32))


def gdn_decode(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    state: torch.Tensor | None,
    A_log: torch.Tensor,
    a: torch.Tensor,
    dt_bias: torch.Tensor,
    b: torch.Tensor,
    scale: float | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gated delta rule, one token per sequence: ``S <- g S + beta (v - g S k) k^T``, ``o = scale * S q``.

    q and k [batch, 1, qk_heads, d], v [batch, 1, v_heads, d]; ``state`` [batch, v_heads, v, k] float32, zero
    if None; gates g and beta per head and token (see ``gates``). k is taken as it is, not normalised; ``scale``
    is 1 / sqrt(d) if it is None or 0. Returns the output like v and the new state, float32 inside.
    Source: Yang, Kautz and Hatamizadeh, Gated Delta Networks: Improving Mamba2 with Delta Rule, equation 10.
    """
    batch, _, v_heads, d = v.shape
    if state is None:
        state = torch.zeros(batch, v_heads, d, q.shape[-1], dtype=torch.float32, device=q.device)
    decay, beta = gates(a, b, A_log, dt_bias)
    tokens = [x[:, 0].to(torch.float32) for x in (q, k, v)]
    new_state, read = delta_step(state.to(torch.float32), *tokens, decay[:, 0], beta[:, 0])
    factor = scale or 1 / math.sqrt(q.shape[-1])
    return (factor * read).unsqueeze(1).to(torch.bfloat16), new_state


def gdn_prefill(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    state: torch.Tensor | None,
    A_log: torch.Tensor,
    a: torch.Tensor,
    dt_bias: torch.Tensor,
    b: torch.Tensor,
    cu_seqlens: torch.Tensor,
    scale: float | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gated delta rule over packed sequences: ``S <- g S + beta (v - g S k) k^T``, ``o = scale * S q``.

    Sequence n holds the tokens from ``cu_seqlens[n]`` to before ``cu_seqlens[n + 1]``, of q and k
    [tokens, qk_heads, d] and v [tokens, v_heads, d], and begins with ``state[n]`` [v_heads, v, k] float32, zero
    if state is None; gates g and beta per head and token (see ``gates``). k is taken as it is, not normalised;
    ``scale`` is 1 / sqrt(d) if it is None or 0. Returns the output like v and the state after each sequence's
    last token, which is zero for a sequence without tokens, whatever its initial state. float32 inside.
    The next CHUNK tokens of all sequences are computed together (see ``delta_chunk``), longest sequence first; what
    a sequence gets does not depend on the others.
    Source: Yang, Kautz and Hatamizadeh, Gated Delta Networks: Improving Mamba2 with Delta Rule, equation 10.
    """
    total, v_heads, d = v.shape
    lengths, order = cu_seqlens.diff().sort(descending=True)
    firsts = cu_seqlens[order]
    if state is None:
        states = torch.zeros(len(order), v_heads, d, q.shape[-1], dtype=torch.float32, device=q.device)
    else:
        states = torch.where((lengths > 0)[:, None, None, None], state[order].to(torch.float32), 0.0)
    # Behind the last token is one that is none: of decay 1 and zero otherwise, it leaves a state as it is.
    decay, beta = gates(a, b, A_log, dt_bias)
    decay = torch.nn.functional.pad(decay, [0, 0, 0, 1], value=1.0)
    beta = torch.nn.functional.pad(beta, [0, 0, 0, 1])
    q, k, v = (torch.nn.functional.pad(x.to(torch.float32), [0, 0, 0, 0, 0, 1]) for x in (q, k, v))
    head = torch.arange(v_heads, device=q.device).unsqueeze(-1)
    qk_head = head // (v_heads // q.shape[1])  # each serves neighbouring heads of v
    read = torch.zeros_like(v)
    by_length = lengths.tolist()
    for start in range(0, max(by_length, default=0), CHUNK):
        longer = sum(length > start for length in by_length)
        t = torch.arange(start, min(start + CHUNK, by_length[0]), device=q.device)
        row = torch.where(t < lengths[:longer, None], firsts[:longer, None] + t, total).unsqueeze(1)
        chunk = q[row, qk_head], k[row, qk_head], v[row, head], decay[row, head], beta[row, head]
        states[:longer], read[row, head] = delta_chunk(states[:longer], *chunk)
    new_state = torch.empty_like(states)
    new_state[order] = states
    factor = scale or 1 / math.sqrt(q.shape[-1])
    return (factor * read[:total]).to(torch.bfloat16), new_state


def gdn_mtp(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    initial_state: torch.Tensor,
    initial_state_indices: torch.Tensor,
    A_log: torch.Tensor,
    a: torch.Tensor,
    dt_bias: torch.Tensor,
    b: torch.Tensor,
    scale: float | None,
    intermediate_states_buffer: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gated delta rule, several tokens per sequence: ``S <- g S + beta (v - g S k) k^T``, ``o = scale * S q``.

    q and k [batch, steps, qk_heads, d], v [batch, steps, v_heads, d]. Sequence n begins with row
    ``initial_state_indices[n]`` of ``initial_state`` [pool, v_heads, v, k] float32; the state after step t is
    written, in place, to the same row of ``intermediate_states_buffer`` [pool, steps, v_heads, v, k], unless that
    is None. These are guesses that a model has yet to accept, so the states of the pool stay: the second output
    is a copy of ``initial_state``. Gates g and beta per head and token (see ``gates``). k is taken as it is, not
    normalised; ``scale`` is 1 / sqrt(d) if it is None or 0. The first output is like v; float32 inside.
    Source: Yang, Kautz and Hatamizadeh, Gated Delta Networks: Improving Mamba2 with Delta Rule, equation 10.
    """
    rows = initial_state_indices.long()
    state = initial_state[rows].to(torch.float32)
    output = torch.zeros_like(v)
    decay, beta = gates(a, b, A_log, dt_bias)
    factor = scale or 1 / math.sqrt(q.shape[-1])
    for t in range(q.shape[1]):
        tokens = [x[:, t].to(torch.float32) for x in (q, k, v)]
        state, read = delta_step(state, *tokens, decay[:, t], beta[:, t])
        output[:, t] = (factor * read).to(torch.bfloat16)
        if intermediate_states_buffer is not None:
            intermediate_states_buffer[rows, t] = state
    return output, initial_state.clone()


HEADS = "num_q_heads num_k_heads num_v_heads head_size"
STATE = "num_v_heads head_size head_size"
LAYOUT = "layout:k-last"
NAME = "qk{num_q_heads}_v{num_v_heads}_d{head_size}_k_last"
DECODE, PREFILL, MTP = f"gdn_decode_{NAME}", f"gdn_prefill_{NAME}", f"gdn_mtp_{NAME}"
GROUPS = [
    "num_v_heads >= num_q_heads",
    "num_v_heads % num_q_heads == 0",
    "num_k_heads == num_q_heads",
]


def _tokens(axes: str) -> dict[str, tuple[str, str]]:
    """The tensors of tokens along ``axes``, by name."""
    heads = {"q": "num_q_heads head_size", "k": "num_k_heads head_size", "v": "num_v_heads head_size"}
    return {name: ("bfloat16", f"{axes} {own}") for name, own in heads.items()}


def _gates(axes: str) -> dict[str, tuple[str, str]]:
    """What the gates are made from."""
    return {
        "A_log": ("float32", "num_v_heads"),
        "a": ("bfloat16", f"{axes} num_v_heads"),
        "dt_bias": ("float32", "num_v_heads"),
        "b": ("bfloat16", f"{axes} num_v_heads"),
    }


FAMILIES = {
    DECODE: {
        "description": "Gated delta net, one token per sequence; states as [value, key], key last.",
        "reference": [delta_step, gates, gdn_decode],
        "axes": f"batch_size seq_len {HEADS}",
        "inputs": {
            **_tokens("batch_size seq_len"),
            "state": ("float32", f"batch_size {STATE}", True),
            **_gates("batch_size seq_len"),
            "scale": ("float32", None),
        },
        "outputs": {
            "output": ("bfloat16", "batch_size seq_len num_v_heads head_size"),
            "new_state": ("float32", f"batch_size {STATE}"),
        },
        "constraints": GROUPS,
        "tags": ["stage:decode", LAYOUT],
    },
    PREFILL: {
        "description": "Gated delta net over packed sequences; states as [value, key], key last.",
        "reference": [delta_chunk, gates, gdn_prefill],
        "constants": {"CHUNK": CHUNK},
        "axes": f"total_seq_len num_seqs {HEADS} len_cu_seqlens",
        "inputs": {
            **_tokens("total_seq_len"),
            "state": ("float32", f"num_seqs {STATE}", True),
            **_gates("total_seq_len"),
            "cu_seqlens": ("int64", "len_cu_seqlens"),
            "scale": ("float32", None),
        },
        "outputs": {
            "output": ("bfloat16", "total_seq_len num_v_heads head_size"),
            "new_state": ("float32", f"num_seqs {STATE}"),
        },
        "constraints": ["len_cu_seqlens == num_seqs + 1", "total_seq_len == cu_seqlens[-1].item()"],
        "tags": ["stage:prefill", LAYOUT],
    },
    MTP: {
        "description": "Gated delta net, several tokens per sequence to be verified; states as [value, key].",
        "reference": [delta_step, gates, gdn_mtp],
        "axes": f"batch_size seq_len {HEADS} pool_size",
        "inputs": {
            **_tokens("batch_size seq_len"),
            "initial_state": ("float32", f"pool_size {STATE}"),
            "initial_state_indices": ("int32", "batch_size"),
            **_gates("batch_size seq_len"),
            "scale": ("float32", None),
            "intermediate_states_buffer": ("float32", f"pool_size seq_len {STATE}", True),
        },
        "outputs": {
            "output": ("bfloat16", "batch_size seq_len num_v_heads head_size"),
            "final_state": ("float32", f"pool_size {STATE}"),
        },
        "constraints": [*GROUPS, "seq_len > 1"],
        "tags": ["stage:mtp", LAYOUT],
    },
}

Workloads = list[dict[str, float]]


def _sizes(qk_heads: int, head_size: int, **more: int) -> dict[str, int]:
    """Sizes of the constant axes; twice as many heads of v as of q and k."""
    heads = {"num_q_heads": qk_heads, "num_k_heads": qk_heads, "num_v_heads": 2 * qk_heads}
    return {**heads, "head_size": head_size, **more}


def _decode(head_size: int, *batches: int) -> Workloads:
    return [{"batch_size": batch, "scale": 1 / math.sqrt(head_size)} for batch in batches]


def _prefill(head_size: int, *cases: tuple[int, int]) -> Workloads:
    """Turn (tokens, sequences) into workloads; with fewer tokens than sequences some sequences are empty."""
    return [
        {
            "total_seq_len": tokens,
            "num_seqs": sequences,
            "len_cu_seqlens": sequences + 1,
            "scale": 1 / math.sqrt(head_size),
        }
        for tokens, sequences in cases
    ]


def _mtp(head_size: int, *cases: tuple[int, int, int]) -> Workloads:
    """Turn (sequences, tokens of each, states in the pool) into workloads."""
    return [
        {"batch_size": batch, "seq_len": steps, "pool_size": pool, "scale": 1 / math.sqrt(head_size)}
        for batch, steps, pool in cases
    ]


# Batches of the contest's decode workloads: {size: how many}; lengths of its prefill workloads: {sequences: tokens in
# all}, and sequences of those with 8192 tokens. Workloads of equal sizes differ in their content.
CONTEST_DECODE = {1: 10, 4: 8, 8: 7, 16: 7, 32: 7, 48: 7, 64: 8}
CONTEST_PREFILL = {
    1: "6 12 13 14 16 16 16 18 23 24 30 30 30 31 35 35 48 49 49 49 61 67 68 79 92 97 97 116 134 134 525 1377 2107",
    2: "28 32 35 35 40 42 46 76 76 76 81 85 91 91 114 114 118 132 185 248 341 461 574 983 983 2040 3271 5709",
    3: "82 139 139 202 239 255 294 661 973 973 1592 1796 1800 1800 2284 2857",
    4: "401 832 959 959",
    5: "3028",
    13: "3999",
    15: "4124",
}
CONTEST_8192_TOKENS = "20 25 32 32 34 34 35 37 38 38 39 43 43 48 56 57"


def _contest_decode() -> Workloads:
    return _decode(128, *(batch for batch, times in CONTEST_DECODE.items() for _ in range(times)))


def _contest_prefill() -> Workloads:
    cases = [(int(n), sequences) for sequences, tokens in CONTEST_PREFILL.items() for n in tokens.split()]
    return _prefill(128, *cases, *((8192, int(n)) for n in CONTEST_8192_TOKENS.split()))


TABLE = [
    # trace set, family, sizes of the constant axes, workloads
    ("mini", DECODE, _sizes(2, 32, seq_len=1), _decode(32, 1, 2, 3, 5)),
    ("mini", PREFILL, _sizes(2, 32), _prefill(32, (1, 1), (5, 2), (4, 6), (9, 3))),
    ("mini", MTP, _sizes(2, 32), _mtp(32, (1, 2, 1), (2, 3, 5), (3, 2, 3))),
    ("mlsys26", DECODE, _sizes(4, 128, seq_len=1), _contest_decode()),
    ("mlsys26", PREFILL, _sizes(4, 128), _contest_prefill()),
    # Qwen3-Next on one, two and four devices
    ("flashinfer", DECODE, _sizes(16, 128, seq_len=1), _decode(128, 1, 16, 64)),
    ("flashinfer", DECODE, _sizes(8, 128, seq_len=1), _decode(128, 1, 16, 64)),
    ("flashinfer", PREFILL, _sizes(16, 128), _prefill(128, (16, 1), (300, 4), (4096, 16))),
    ("flashinfer", PREFILL, _sizes(8, 128), _prefill(128, (16, 1), (300, 4), (4096, 16))),
    ("flashinfer", MTP, _sizes(16, 128), _mtp(128, (1, 2, 4), (4, 4, 8), (16, 4, 16))),
    ("flashinfer", MTP, _sizes(8, 128), _mtp(128, (1, 2, 4), (4, 4, 8), (16, 4, 16))),
    ("flashinfer", MTP, _sizes(4, 128), _mtp(128, (1, 2, 4), (4, 4, 8), (32, 4, 64))),
]
