"""Which axes are free, which follow, and what bounds them, read off constraints and a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.data.definition import Definition
from pytest_fib.errors import DataError
from pytest_fib.fuzz.axes import UNSAID, Axes, Relation, relations


def axes_of(
    variable: str,
    constraints: tuple[str, ...] = (),
    op_type: str = "test",
    constant: dict[str, int] | None = None,
) -> Axes:
    axes: dict[str, Any] = {name: {"type": "var"} for name in variable.split()}
    axes |= {name: {"type": "const", "value": value} for name, value in (constant or {}).items()}
    return Axes(
        Definition.model_validate(
            {
                "name": "d",
                "op_type": op_type,
                "axes": axes,
                "inputs": {"x": {"shape": list(axes), "dtype": "float32"}},
                "outputs": {"y": {"shape": list(axes), "dtype": "float32"}},
                "reference": "def run(x): return x",
                "constraints": constraints,
            }
        )
    )


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [
        ("len_indptr == batch_size + 1", [Relation("len_indptr", "==", "batch_size + 1")]),
        ("b + 1 == a", [Relation("a", "==", "b + 1")]),
        ("a >= b", [Relation("a", ">=", "b"), Relation("b", "<=", "a")]),
        ("seq_len > 1", [Relation("seq_len", ">", "1")]),
        ("topk <= pages * page_size", [Relation("topk", "<=", "pages * page_size")]),
        ("total_q == qo_indptr[-1].item()", []),
        ("1 < a < 5", []),
        ("a", []),
        ("a != b", []),
        ("a == a + b", []),
        ("((", []),
    ],
)
def test_what_a_constraint_says_about_single_axes(constraint: str, expected: list[Relation]) -> None:
    assert relations(constraint) == expected


@given(st.text(max_size=60))
def test_any_text_says_something_or_nothing(text: str) -> None:
    assert all(relation.axis not in relation.names for relation in relations(text))


def test_an_axis_that_a_constraint_equates_follows() -> None:
    axes = axes_of("len_indptr batch_size", ("len_indptr == batch_size + 1",))
    assert axes.free == ("batch_size",)
    assert axes.following == {"len_indptr": "batch_size + 1"}
    assert axes.complete({"batch_size": 3}) == {"len_indptr": 4, "batch_size": 3}


def test_what_follows_may_be_followed() -> None:
    axes = axes_of("a b c", ("a == b + 1", "b == c * 2"))
    assert axes.free == ("c",)
    assert axes.complete({"c": 3}) == {"a": 7, "b": 6, "c": 3}


def test_axes_that_equate_each_other_leave_one_free() -> None:
    axes = axes_of("a b", ("a == b + 1", "b == a - 1"))
    assert axes.free == ("b",)
    assert axes.complete({"b": 0}) == {"a": 1, "b": 0}


def test_bounds_are_drawn_after_what_they_speak_of() -> None:
    axes = axes_of(
        "rows pool", ("rows < pool * 2", "rows >= pool - 1", "pool <= limit"), constant={"limit": 9}
    )
    assert axes.free == ("pool", "rows")
    assert axes.bounds("pool", {}) == (0, 9)
    assert axes.bounds("rows", {"pool": 4}) == (3, 7)


def test_axes_that_bound_each_other_are_drawn_in_the_definitions_order() -> None:
    axes = axes_of("pool batch", ("pool >= batch",))
    assert axes.free == ("pool", "batch")
    assert axes.bounds("pool", {}) == (0, None)
    assert axes.bounds("batch", {"pool": 4}) == (0, 4)


def test_a_bound_without_a_value_is_none() -> None:
    axes = axes_of("a b", ("a >= 6 / b",))
    assert axes.bounds("a", {"b": 0}) == (0, None)
    assert axes.bounds("a", {"b": 2}) == (3, None)


def test_sizes_that_contradict_a_constraint_are_refused() -> None:
    axes = axes_of("a b", ("a % 2 == 0", "a * b <= 10"))
    assert axes.complete({"a": 2, "b": 5}) == {"a": 2, "b": 5}
    for sizes in ({"a": 3, "b": 1}, {"a": 4, "b": 3}):
        with pytest.raises(DataError, match="violate"):
            axes.complete(sizes)


def test_what_follows_is_never_negative() -> None:
    axes = axes_of("a b", ("a == b - 2",))
    with pytest.raises(DataError, match="negative"):
        axes.complete({"b": 1})


class TestTable:
    def test_pages_are_distinct_and_tokens_have_a_sequence(self) -> None:
        axes = axes_of("batch_size len_indptr num_pages num_kv_indices", op_type="gqa_paged")
        assert axes.free == ("batch_size", "num_kv_indices", "num_pages")
        assert axes.bounds("num_kv_indices", {"batch_size": 0}) == (0, 0)
        assert axes.bounds("num_pages", {"batch_size": 2, "num_kv_indices": 7})[0] == 4
        assert axes.bounds("num_pages", {"batch_size": 0, "num_kv_indices": 0})[0] == 0

    def test_prefill_without_a_batch_has_offsets_of_its_own(self) -> None:
        axes = axes_of("total_q num_pages len_indptr num_kv_indices", op_type="mla_paged")
        assert axes.free == ("len_indptr", "total_q", "num_kv_indices", "num_pages")
        assert axes.bounds("len_indptr", {})[0] == 1
        assert axes.bounds("total_q", {"len_indptr": 1}) == (0, 0)

    def test_an_index_holds_what_it_selects(self) -> None:
        axes = axes_of(
            "batch_size max_num_pages num_pages",
            op_type="dsa_paged",
            constant={"topk": 2048, "page_size": 64},
        )
        assert axes.bounds("max_num_pages", {})[0] == 32
        assert axes.bounds("num_pages", {"max_num_pages": 40})[0] == 40

    @pytest.mark.parametrize("op_type", sorted(UNSAID))
    def test_every_entry_is_understood(self, op_type: str) -> None:
        assert all(relations(text) for text in UNSAID[op_type])


def test_every_official_interface_has_smallest_axes(shared_dataset: Path) -> None:
    count = 0
    for path in sorted((shared_dataset / "interfaces").glob("*/*.json")):
        interface = json.loads(path.read_text())
        axes = Axes(Definition.model_validate({**interface, "reference": "def run(): ..."}))
        sizes: dict[str, int] = {}
        for axis in axes.free:
            least, most = axes.bounds(axis, sizes)
            assert most is None or least <= most
            sizes[axis] = least + 3 if most is None else min(least + 3, most)
        assert axes.complete(sizes).keys() == axes.complete(dict(reversed(sizes.items()))).keys()
        count += 1
    assert count == 156
