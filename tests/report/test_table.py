from __future__ import annotations

from dataclasses import replace
from types import ModuleType

from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.report.recording import make_skip
from pytest_fib.report.table import table_lines


def texts(records: list, width: int = 120, **options: int | None) -> list[str]:
    return [line.text for line in table_lines(records, width=width, **options)]


def nodeid(label: str) -> str:
    return f"workloads/rmsnorm_h128.jsonl::triton_v1::{label}"


def test_a_wide_table(synthetic: ModuleType) -> None:
    records = [
        synthetic.record(nodeid=nodeid("batch_size7-33bf737d")),
        synthetic.record(
            "INCORRECT_NUMERICAL",
            nodeid=nodeid("batch_size16-33bf737d"),
            max_absolute_error=float("inf"),
            max_relative_error=0.5,
        ),
    ]
    assert texts(records) == [
        "  workload      status         latency  reference  speedup    worst abs/rel",
        "rmsnorm_h128 · triton_v1: 1/2 passed, speedup arithmetic mean 4.00x, geometric mean 4.00x",
        "  batch_size7   PASSED  12.5 ± 0.50 µs    50.0 µs    4.00x  1.0e-03/2.0e-03",
        "  batch_size16  INCORRECT_NUMERICAL             –        –      inf/5.0e-01",
    ]


def test_equal_axes_are_told_apart_by_uuid(synthetic: ModuleType) -> None:
    uuids = ("33bf737d-0", "44bf737d-0")
    records = [synthetic.record(workload=uuid, nodeid=nodeid(f"batch_size7-{uuid[:8]}")) for uuid in uuids]
    assert [line.split()[0] for line in texts(records)[2:]] == [
        "batch_size7-33bf737d",
        "batch_size7-44bf737d",
    ]


def test_eighty_columns_show_every_column(synthetic: ModuleType) -> None:
    records = [synthetic.record(nodeid=nodeid("batch_size16-num_pages12345")), synthetic.record("TIMEOUT")]
    lines = texts(records, width=79)
    assert "worst abs/rel" in lines[0]
    assert "batc16-num12345" in lines[2]


def test_sizes_of_axes_outlive_other_columns(synthetic: ModuleType) -> None:
    labels = [f"batch_size64-num_pages{pages}-len_indptr65-num_kv_indices{pages}" for pages in (26475, 26582)]
    records = [
        synthetic.record(workload=f"{i:08x}-0", nodeid=nodeid(f"{label}-{i:08x}"))
        for i, label in enumerate(labels)
    ]
    lines = texts(records, width=79)
    assert "worst abs/rel" not in lines[0]
    assert [line.split()[0] for line in lines[2:]] == [
        "batc64-num26475-len65-num26475",
        "batc64-num26582-len65-num26582",
    ]


def test_a_uuid_is_no_axis(synthetic: ModuleType) -> None:
    records = [
        synthetic.record(workload=f"abcdef{n}-0", nodeid=nodeid(f"batch_size7-abcdef{n}")) for n in (12, 13)
    ]
    assert [line.split()[0] for line in texts(records, width=60)[2:]] == ["batc7-abcdef12", "batc7-abcdef13"]


def test_labels_too_long_to_differ_end_in_their_uuids(synthetic: ModuleType) -> None:
    axes = {
        f"{batch}bf737d-0": f"max_num_pages{10**20}-batch_size{batch}-num_pages{10**20}"
        for batch in (11, 12, 21)
    }
    records = [
        synthetic.record(workload=uuid, nodeid=nodeid(f"{label}-{uuid[:8]}")) for uuid, label in axes.items()
    ]
    assert [line.split()[0] for line in texts(records, width=79)[2:]] == [
        "max_num_pages10000000000…11bf737d",
        "max_num_pages10000000000…12bf737d",
        "max_num_pages10000000000…21bf737d",
    ]
    assert [line.split()[0] for line in texts(records, width=150)[2:]] == list(axes.values())


def test_without_timing_there_are_no_columns_for_it(synthetic: ModuleType) -> None:
    label = "batch_size16-max_num_pages128-num_pages64"
    record = synthetic.record(timing=None, nodeid=nodeid(f"{label}-33bf737d"))
    assert texts([record], width=79)[0].split() == ["workload", "status", "worst", "abs/rel"]
    assert texts([record], width=79)[2].split()[:2] == [label, "PASSED"]


def test_a_narrow_terminal_keeps_workload_status_and_latency(synthetic: ModuleType) -> None:
    lines = texts([synthetic.record()], width=40)
    assert lines[0].split() == ["workload", "status", "latency"]
    assert "PASSED" in lines[2]
    assert "12.5 ± 0.50 µs" in lines[2]


@given(
    st.lists(st.sampled_from(["PASSED", "INCORRECT_NUMERICAL", "TIMEOUT"]), min_size=1, max_size=6),
    st.integers(36, 200),
    st.text(max_size=60),
)
def test_every_line_fits_and_is_harmless(
    synthetic: ModuleType, statuses: list[str], width: int, name: str
) -> None:
    records = [
        synthetic.record(status, nodeid=f"f.jsonl::{name}", definition=name or "d", solution=name or "s")
        for status in statuses
    ]
    lines = texts(records, width=width)
    assert all(line.isprintable() for line in lines)
    assert all(len(line) <= width for line in lines)
    assert sum(status in line for line in lines for status in set(statuses)) >= len(statuses)


def test_groups_are_definition_and_solution(synthetic: ModuleType) -> None:
    records = [synthetic.record(), synthetic.record(solution="v2", solution_hash="cd"), synthetic.record()]
    headings = [line for line in texts(records) if "·" in line]
    assert [heading.partition(",")[0] for heading in headings] == [
        "rmsnorm_h128 · triton_v1: 2/2 passed",
        "rmsnorm_h128 · v2: 1/1 passed",
    ]


def test_solutions_of_one_name_are_told_apart(synthetic: ModuleType) -> None:
    records = [synthetic.record(solution_hash=f"{digit}" * 64) for digit in (1, 2, 2)]
    headings = [line for line in texts(records) if "·" in line]
    assert [heading.partition(",")[0] for heading in headings] == [
        "rmsnorm_h128 · triton_v1-11111111: 1/1 passed",
        "rmsnorm_h128 · triton_v1-22222222: 2/2 passed",
    ]


def test_a_long_name_does_not_hide_how_many_passed(synthetic: ModuleType) -> None:
    heading = next(line for line in texts([synthetic.record(solution="s" * 100)], width=60) if "·" in line)
    assert heading.endswith("s: 1/1 passed")
    assert len(heading) == 60


def test_a_long_table_is_cut_and_says_so(synthetic: ModuleType) -> None:
    records = [synthetic.record(definition=f"d{i % 3}") for i in range(9)]
    lines = texts(records, row_limit=4)
    assert lines[-1] == "… 5 more rows (-v shows all)"
    assert sum("PASSED" in line for line in lines) == 4
    assert sum("PASSED" in line for line in texts(records, row_limit=None)) == 9


def test_no_table_without_a_judged_workload(synthetic: ModuleType) -> None:
    assert texts([make_skip({}, "f.jsonl::w", "no device")]) == []


def test_the_share_of_the_speed_of_light_where_it_is_known(synthetic: ModuleType) -> None:
    def table(*floors: float | None) -> str:
        timings = [replace(synthetic.timing(), floor_ms=floor) for floor in floors]
        return "\n".join(texts([synthetic.record(timing=timing) for timing in timings]))

    latency = synthetic.timing().latency_ms
    assert "SOL" not in table(None)
    assert " SOL" in table(latency / 4, None)
    assert "25%" in table(latency / 4, None)
    assert "0.04%" in table(latency / 2500)
