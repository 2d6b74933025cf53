"""What definitions over a paged cache have in common: their offsets and page numbers, and workloads of them."""

from __future__ import annotations

from dataclasses import dataclass

Workload = dict[str, float]
Row = tuple[str, str, dict[str, int], list[Workload]]

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


@dataclass(frozen=True)
class Families:
    """Name patterns: decode and prefill, each over pages of one token and over pages of several."""

    decode_tokens: str
    decode_pages: str
    prefill_tokens: str
    prefill_pages: str


@dataclass(frozen=True)
class Cases:
    """The workloads of the four families, as the functions above take them."""

    decode_tokens: tuple[tuple[int, int, int], ...]
    decode_pages: tuple[tuple[int, int, int], ...]
    prefill_tokens: tuple[tuple[int, int, int, int], ...]
    prefill_pages: tuple[tuple[int, int, int, int], ...]


MINI = Cases(
    decode_tokens=((1, 16, 9), (3, 64, 40), (4, 8, 3), (2, 512, 150)),
    decode_pages=((1, 4, 1), (3, 16, 9), (4, 8, 3), (2, 64, 12)),
    prefill_tokens=((1, 7, 16, 7), (1, 1, 64, 33), (3, 50, 128, 90), (2, 30, 64, 20)),
    prefill_pages=((1, 9, 4, 1), (3, 40, 16, 9), (4, 3, 8, 3), (6, 64, 16, 20)),
)


def rows(
    traceset: str, families: Families, heads: dict[str, int], page_size: int, sm_scale: float, cases: Cases
) -> list[Row]:
    """Return the rows of a table for all four families; pages of several tokens have ``page_size`` of them."""
    tokens, pages = {**heads, "page_size": 1}, {**heads, "page_size": page_size}
    return [
        (traceset, families.decode_tokens, tokens, decode_workloads(sm_scale, *cases.decode_tokens)),
        (traceset, families.decode_pages, pages, decode_workloads(sm_scale, *cases.decode_pages)),
        (traceset, families.prefill_tokens, tokens, prefill_workloads(sm_scale, *cases.prefill_tokens)),
        (traceset, families.prefill_pages, pages, prefill_page_workloads(sm_scale, *cases.prefill_pages)),
    ]
