from __future__ import annotations

import json

import pytest

from pytest_fib.border.ahead import MOST_KERNELS, MOST_REMARKS, Compiled, Example, Like
from pytest_fib.border.order import Order
from pytest_fib.border.wire import MAX_TEXT

ORDER = Order("triton", "main.py", "run", {"main.py": ""}, None, 2, ("y",), "")


def test_examples_travel_with_the_order() -> None:
    example = Example((Like((3, 0), "bfloat16"), 0.5, True), (Like((), "int32"),))
    order = Order(**{**vars(ORDER), "architecture": "9.0a", "examples": (example,)})
    assert Order.from_text(order.to_text()) == order
    assert Order.from_text(ORDER.to_text()).examples == ()


def test_an_answer_fits_in_a_message_whatever_it_holds() -> None:
    compiled = Compiled(("kernel",), ("a remark",))
    assert Compiled.from_text(compiled.to_text()) == compiled
    for character in ("a", "\0", "\U0001f600"):
        huge = Compiled(
            (character * 10_000,) * (MOST_KERNELS + 1), (character * 10_000,) * (MOST_REMARKS + 1)
        )
        assert len(huge.to_text().encode()) < MAX_TEXT
        assert len(Compiled.from_text(huge.to_text()).remarks) == MOST_REMARKS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '{"kernels": []}',
        '{"kernels": [], "remarks": [], "status": "PASSED"}',
        '{"kernels": "abc", "remarks": []}',
        '{"kernels": [], "remarks": [1]}',
        json.dumps({"kernels": [], "remarks": ["x"] * (MOST_REMARKS + 1)}),
    ],
)
def test_an_answer_that_no_candidate_of_ours_gives_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Compiled.from_text(text)
