from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.border.arena import ALIGN, GUARD, ITEMSIZE, Plan, Region

shapes = st.lists(st.integers(min_value=0, max_value=9), max_size=3).map(tuple)
tensors = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=4),
    st.tuples(shapes, st.sampled_from(sorted(ITEMSIZE))),
    max_size=5,
)


@given(tensors, st.integers(min_value=1, max_value=5))
def test_tensors_are_aligned_and_surrounded_by_guard_zones(
    layout: dict[str, tuple[tuple[int, ...], str]], sets: int
) -> None:
    region = Region.plan(layout, sets)
    end = 0
    for slot in region.slots:
        assert slot.offset % ALIGN == 0
        assert slot.offset - GUARD >= end
        end = slot.offset + slot.nbytes + GUARD
    assert end <= region.stride
    assert region.stride % ALIGN == 0
    assert region.nbytes >= region.stride * sets


@given(tensors, tensors, st.booleans())
def test_a_plan_survives_the_way_to_the_candidate(
    inputs: dict[str, tuple[tuple[int, ...], str]],
    outputs: dict[str, tuple[tuple[int, ...], str]],
    writable: bool,
) -> None:
    plan = Plan(
        Region.plan(inputs, 3),
        Region.plan(outputs, 3),
        (*inputs, "eps"),
        {"eps": 1e-6, "causal": True},
        writable,
    )
    assert Plan.from_text(plan.to_text()) == plan
