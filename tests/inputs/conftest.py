from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_fib.data.definition import Definition
from pytest_fib.data.workload import Workload
from pytest_fib.inputs import InputPlan, Pool, plan_inputs

SECRET = bytes(range(32))

Make = Callable[..., InputPlan]


@pytest.fixture(scope="session")
def pool() -> Pool:
    """The pool of SECRET, made once."""
    return Pool(SECRET)


@pytest.fixture(scope="session")
def make_plan(pool: Pool) -> Make:
    """Plans inputs given as ``{name: (shape, dtype)}``; shapes name axes or are integers."""

    def make(
        inputs: dict[str, tuple[list[Any] | None, str]],
        axes: dict[str, int] | None = None,
        *,
        sources: dict[str, Any] | None = None,
        op_type: str = "test",
        uuid: str = "w",
        reference: str = "def run(): ...",
        entry: str | None = None,
        secret: bytes = SECRET,
        **options: Any,
    ) -> InputPlan:
        axes = axes or {}
        definition = Definition.model_validate(
            {
                "name": "d",
                "op_type": op_type,
                "axes": {name: {"type": "var"} for name in axes},
                "inputs": {name: {"shape": shape, "dtype": dtype} for name, (shape, dtype) in inputs.items()},
                "outputs": {"result": {"shape": [1], "dtype": "float32"}},
                "reference": reference,
                "custom_inputs_entrypoint": entry,
            }
        )
        workload = Workload.model_validate({"uuid": uuid, "axes": axes, "inputs": sources or {}})
        options.setdefault("traceset_root", None)
        options.setdefault("pool", pool if secret == SECRET else None)
        return plan_inputs(definition, workload, secret=secret, **options)

    return make
