"""What is drawn is a shape that the definition has, that fits, and whose inputs can be had."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_fib.data.definition import Definition
from pytest_fib.data.fuzzing import Shape
from pytest_fib.data.readers import read_definition, read_workloads
from pytest_fib.data.workload import RandomInput, Workload, WorkloadLine
from pytest_fib.fuzz.shapes import LEAST_ROOM, MOST_ABOVE_LEAST, MOST_ROOM, Shapes, workload_line
from pytest_fib.inputs import Pool, plan_inputs

from .conftest import RAGGED, ROWS

MINI = Path(__file__).resolve().parents[2] / "tracesets" / "mini"
SECRET = bytes(32)
BYTES_OF_A_ROW = 2 * 64 * 4


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool(SECRET)


def rows(count: int, **more: object) -> Workload:
    return Workload.model_validate({"axes": {"rows": count}, "inputs": {}, "uuid": "w", **more})


def drawn(shapes: Shapes, count: int = 100) -> list[Shape]:
    """Different shapes that the strategy draws."""
    found: dict[object, Shape] = {}

    @settings(max_examples=count, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(shapes.strategy())
    def collect(shape: Shape) -> None:
        found[shape.order] = shape

    collect()
    return list(found.values())


class TestRoom:
    @pytest.mark.parametrize(
        ("largest", "room"),
        [(0, LEAST_ROOM), (1000, 1000 * BYTES_OF_A_ROW), (10**9, MOST_ROOM)],
    )
    def test_the_largest_published_workload_says_how_much_there_is(self, largest: int, room: int) -> None:
        assert Shapes(ROWS, [rows(1), rows(largest)]).room == room

    def test_what_every_shape_needs_does_not_count(self) -> None:
        wide = ROWS.model_copy(
            update={"inputs": {**ROWS.inputs, "w": ROWS.inputs["x"].model_copy(update={"shape": (1 << 22,)})}}
        )
        assert Shapes(wide).room == (1 << 24) + LEAST_ROOM

    def test_workloads_that_the_definition_does_not_know_do_not_count(self) -> None:
        odd = Workload(axes={"columns": 10**6}, inputs={}, uuid="w")
        assert Shapes(ROWS, [odd, rows(1000)]).room == 1000 * BYTES_OF_A_ROW

    def test_sizes_that_follow_may_be_too_small(self) -> None:
        axes = {**ROWS.axes, "more": ROWS.axes["rows"]}
        definition = ROWS.model_copy(update={"axes": axes, "constraints": ("rows == more - 2",)})
        shapes = drawn(Shapes(definition))
        assert min(shape.axes["more"] for shape in shapes) == 2
        assert all(shape.axes["rows"] == shape.axes["more"] - 2 for shape in shapes)

    def test_every_shape_fits(self) -> None:
        shapes = Shapes(ROWS, [rows(700)])
        sizes = {shape.axes["rows"] for shape in drawn(shapes)}
        assert max(sizes) <= 700
        assert max(sizes) > 500

    def test_an_axis_that_takes_no_room_is_bounded_all_the_same(self) -> None:
        definition = ROWS.model_copy(update={"axes": {**ROWS.axes, "free": ROWS.axes["rows"]}})
        sizes = {shape.axes["free"] for shape in drawn(Shapes(definition))}
        assert max(sizes) <= MOST_ABOVE_LEAST


class TestWhatIsDrawn:
    def test_edges_are_frequent(self) -> None:
        sizes = {shape.axes["rows"] for shape in drawn(Shapes(ROWS, [rows(300)]), 200)}
        assert {0, 1} <= sizes
        assert len(sizes & {15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257}) >= 6

    def test_sequences_are_many_and_none_and_inputs_are_edges_at_times(self) -> None:
        shapes = drawn(Shapes(RAGGED), 200)
        lengths = {shape.axes["len_indptr"] for shape in shapes}
        assert 1 in lengths
        assert max(lengths) > 100
        assert {shape.edges for shape in shapes} == {False, True}
        assert all(shape.empty for shape in shapes if shape.axes["len_indptr"] == 1)

    def test_plain_inputs_have_no_edges(self) -> None:
        assert not any(shape.edges for shape in drawn(Shapes(ROWS)))

    @pytest.mark.parametrize(
        "path", sorted(MINI.glob("definitions/*/*.json")), ids=lambda path: f"{path.parent.name}-{path.stem}"
    )
    def test_every_shape_of_ours_has_inputs(self, path: Path, pool: Pool) -> None:
        definition = read_definition(path)
        file = MINI / "workloads" / path.parent.name / f"{path.stem}.jsonl"
        lines = [line.workload for line in read_workloads(file) if isinstance(line, WorkloadLine)]
        shapes = Shapes(definition, lines)
        for shape in drawn(shapes, 12):
            assert definition.check_constraints(shape.axes) == []
            workload = shapes.workload(shape)
            plan = plan_inputs(definition, workload, traceset_root=None, secret=SECRET, pool=pool)
            assert plan.draw(0).keys() == plan.tensors.keys()


class TestSmaller:
    def test_one_thing_is_smaller_and_plain_content_comes_first(self) -> None:
        shape = Shape({"len_indptr": 3, "total_q": 2, "total_kv": 1}, True, (3, 2, 1))
        smaller = [(one.edges, one.drawn) for one in Shapes(RAGGED).smaller(shape)]
        assert smaller == [
            (False, (3, 2, 1)),
            (True, (2, 2, 1)),
            (True, (3, 0, 1)),
            (True, (3, 1, 1)),
            (True, (3, 2, 0)),
        ]

    def test_bounds_are_kept(self) -> None:
        definition = ROWS.model_copy(update={"constraints": ("rows >= 3", "rows % 2 == 0")})
        shape = Shape({"rows": 8}, False, (8,))
        assert [one.axes["rows"] for one in Shapes(definition).smaller(shape)] == [4, 6]


class TestWorkload:
    def test_equal_shapes_have_equal_workloads_and_others_have_not(self) -> None:
        shapes = Shapes(RAGGED)
        uuids = {shapes.workload(shape).uuid for shape in drawn(shapes, 30)}
        assert len(uuids) == len(drawn(shapes, 30))

    def test_scalars_and_tolerance_are_the_published_ones(self) -> None:
        published = rows(
            3,
            inputs={
                "x": {"type": "safetensors", "path": "a", "tensor_key": "x"},
                "scale": {"type": "scalar", "value": 0.5},
            },
            tolerance={"max_atol": 0.25},
        )
        workload = Shapes(ROWS, [published, rows(4)]).workload(Shape({"rows": 2}, False, (2,)))
        assert workload.inputs == {"x": RandomInput(), "scale": published.inputs["scale"]}
        assert workload.tolerance == published.tolerance

    @given(edges=st.booleans(), count=st.integers(0, 9))
    def test_its_line_can_be_pasted_into_a_file(
        self, tmp_path_factory: pytest.TempPathFactory, edges: bool, count: int
    ) -> None:
        shapes = Shapes(RAGGED, [rows(1, tolerance={"max_rtol": 0.5})])
        axes = {"len_indptr": 3, "total_q": count, "total_kv": 2}
        workload = shapes.workload(Shape(axes, edges, tuple(axes.values())))
        file = tmp_path_factory.mktemp("w") / "workloads" / "ragged.jsonl"
        file.parent.mkdir()
        file.write_text(workload_line("ragged", workload) + "\n")
        (line,) = read_workloads(file)
        assert isinstance(line, WorkloadLine)
        assert line.workload == workload
        assert line.definition == "ragged"
        assert workload.inputs["q"] == RandomInput(edges=edges)

    def test_a_plain_line_is_what_the_official_schema_says(self) -> None:
        line = json.loads(workload_line("rows", Shapes(ROWS).workload(Shape({"rows": 2}, False, (2,)))))
        assert line.keys() == {"definition", "solution", "workload", "evaluation"}
        assert line["workload"]["inputs"] == {"x": {"type": "random"}, "scale": {"type": "random"}}


def test_definitions_without_variable_axes_have_one_shape() -> None:
    fixed = Definition.model_validate({**ROWS.model_dump(), "axes": {
        "rows": {"type": "const", "value": 2}, "h": {"type": "const", "value": 4}}})  # fmt: skip
    assert [shape.axes for shape in drawn(Shapes(fixed))] == [{}]
