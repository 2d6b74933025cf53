"""What definitions over a paged cache have in common: their offsets and page numbers, and workloads of them."""

from __future__ import annotations

Workload = dict[str, float]

INDPTR = ("int32", "len_indptr")
INDICES = {"kv_indptr": INDPTR, "kv_indices": ("int32", "num_kv_indices")}
LAST_PAGE = {"kv_last_page_len": ("int32", "batch_size")}
SCALE = {"sm_scale": ("float32", None)}

DECODE = {
    "constraints": ["len_indptr == batch_size + 1", "num_kv_indices == kv_indptr[-1].item()"],
    "tags": ["stage:decode"],
}
PREFILL = {
    "constraints": ["total_q == qo_indptr[-1].item()", "num_kv_indices == kv_indptr[-1].item()"],
    "tags": ["stage:prefill"],
}


def decode_workloads(sm_scale: float, *cases: tuple[int, int, int]) -> list[Workload]:
    """Turn (batch_size, num_pages, num_kv_indices) into workloads.

    With more indices than pages sequences share pages; with fewer indices than sequences some sequences are empty.
    """
    return [
        {
            "batch_size": batch,
            "num_pages": pages,
            "len_indptr": batch + 1,
            "num_kv_indices": indices,
            "sm_scale": sm_scale,
        }
        for batch, pages, indices in cases
    ]


def prefill_workloads(sm_scale: float, *cases: tuple[int, int, int, int]) -> list[Workload]:
    """Turn (number of sequences, total_q, num_pages, num_kv_indices) into workloads for pages of one token.

    With fewer tokens than queries the first queries see none.
    """
    return [
        {
            "len_indptr": n + 1,
            "total_q": queries,
            "num_pages": pages,
            "num_kv_indices": indices,
            "sm_scale": sm_scale,
        }
        for n, queries, pages, indices in cases
    ]


def prefill_page_workloads(sm_scale: float, *cases: tuple[int, int, int, int]) -> list[Workload]:
    """Turn (batch_size, total_q, num_pages, num_kv_indices) into workloads for pages of several tokens."""
    return [{**case, "batch_size": case["len_indptr"] - 1} for case in prefill_workloads(sm_scale, *cases)]
