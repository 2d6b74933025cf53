"""Compile what the solutions on standard input launch, each in a fork of its own, and print what came of it as JSON.

A case is a dict: ``sources`` (file to text; the first is the entry's), and optionally ``language``, ``architecture``
and ``rows``, the sizes of the examples. The entry point is ``run(x, y)``: x and y are float32 [rows, 64].
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import Any

import torch  # noqa: F401
import triton  # noqa: F401

from pytest_fib.border.ahead import Example, Like
from pytest_fib.border.order import Order
from pytest_fib.build import BuildError, language_module
from pytest_fib.build.ahead import Ahead
from pytest_fib.build.triton import prepare


def order_of(case: dict[str, Any]) -> Order:
    likes = [Like((rows, 64), "float32") for rows in case.get("rows", [4])]
    return Order(
        language=case.get("language", "triton"),
        entry_file=next(iter(case["sources"])),
        entry_symbol="run",
        sources=case["sources"],
        destination_passing=True,
        inputs=1,
        outputs=("y",),
        artifact_dir="",
        architecture=case.get("architecture", "9.0"),
        examples=tuple(Example((like,), (like,)) for like in likes),
    )


def outcome(case: dict[str, Any]) -> dict[str, Any]:
    order = Order.from_text(order_of(case).to_text())
    ahead = Ahead(order)
    try:
        entry = language_module(order).load(order)
        with tempfile.TemporaryFile() as note:
            compiled = ahead.compile(entry, True, note.fileno())
    except BuildError as error:
        return {"error": str(error), "kernels": [], "remarks": []}
    return {"error": "", "kernels": list(compiled.kernels), "remarks": list(compiled.remarks)}


def in_fork(case: dict[str, Any]) -> dict[str, Any]:
    read, write = os.pipe()
    if os.fork() == 0:
        os.close(read)
        try:
            os.write(write, json.dumps(outcome(case)).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        raw = answer.read()
    os.wait()
    found = json.loads(raw)
    assert isinstance(found, dict)
    return found


if __name__ == "__main__":
    cases = json.load(sys.stdin)
    prepare()
    print(json.dumps({name: in_fork(case) for name, case in cases.items()}))
