from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.report.text import for_encoding, shorten


@given(st.text(), st.integers(0, 50))
def test_shorten_keeps_both_ends(text: str, width: int) -> None:
    short = shorten(text, width)
    assert len(short) <= width
    if len(text) <= width:
        assert short == text
    elif width >= 3:
        head, _, tail = short.partition("…") if "…" not in text else (short[:1], "", short[-1:])
        assert text.startswith(head)
        assert text.endswith(tail)


def test_a_terminal_without_unicode_gets_ascii() -> None:
    assert for_encoding("12 ± 3 µs – … ·", "ascii") == "12 +- 3 us - ~ -"
    assert for_encoding("12 ± 3 µs", "utf-8") == "12 ± 3 µs"
    assert for_encoding("12 ± 3 µs", None) == "12 +- 3 us"
