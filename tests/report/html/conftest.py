"""Report documents made up for tests, and a real browser that looks at pages."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Json = dict[str, Any]


def measurement(workload: str = "w", **changes: Any) -> Json:
    """A measurement as the report has it."""
    base: Json = {
        "definition": "rmsnorm_h128",
        "workload": workload,
        "solution": "mine",
        "solution_hash": "ab" * 32,
        "nodeid": f"rmsnorm_h128.jsonl::mine::{workload}",
        "status": "PASSED",
        "integrity": "ok",
        "integrity_detail": "",
        "latency_ms": 0.0125,
        "median_ms": 0.0125,
        "latency_ci95_ms": [0.012, 0.013],
        "samples_ms": [0.012, 0.0125, 0.013] * 5,
        "samples_per_trial": [3] * 5,
        "clock": "judge",
        "verified_calls": 20,
        "calls": 45,
        "inputs": "secret",
        "error_ratio": 0.5,
        "floor_ms": None,
        "remarks": [],
        "verdict": None,
        "ratio": None,
        "ratio_ci": None,
        "failure": None,
    }
    return {**base, **changes}


def trace(of: Json, reference_ms: float | None = 0.05, **axes: int) -> Json:
    """The official trace of a measurement, as far as it is read."""
    return {
        "definition": of["definition"],
        "workload": {"uuid": of["workload"], "axes": axes or {"batch_size": 7}},
        "solution": of["solution"],
        "evaluation": {
            "status": of["status"],
            "timestamp": "2026-01-02T03:04:05+00:00",
            "log": "",
            "performance": None if reference_ms is None else {"reference_latency_ms": reference_ms},
        },
    }


def document(measurements: list[Json], traces: list[Json] | None = None, **changes: Any) -> Json:
    """A report of these measurements."""
    base: Json = {
        "schema": "pytest-fib/1",
        "environment": {"hardware": "Test CPU 9000", "sandbox": {"active": ["user"], "complete": True}},
        "config": {"trials": 5},
        "solutions": [
            {
                "name": "mine",
                "author": "ada",
                "definition": "rmsnorm_h128",
                "language": "triton",
                "hash": "ab" * 32,
                "path": "mine.json",
            }
        ],
        "traces": [trace(found) for found in measurements] if traces is None else traces,
        "measurements": measurements,
        "fuzz": [],
        "skipped": [],
        "scores": [],
    }
    return {**base, **changes}


@pytest.fixture(scope="session")
def measured() -> Callable[..., Json]:
    return measurement


@pytest.fixture(scope="session")
def traced() -> Callable[..., Json]:
    return trace


@pytest.fixture(scope="session")
def reported() -> Callable[..., Json]:
    return document


class Browser:
    """Chromium without a window, spoken to in its DevTools protocol over two pipes."""

    def __init__(self, program: str, profile: Path) -> None:
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()

        def at_three_and_four() -> None:  # where the browser looks for the pipes
            read, write = os.dup(to_browser), os.dup(from_browser)
            os.dup2(read, 3)
            os.dup2(write, 4)

        self._process = subprocess.Popen(
            [
                program,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--remote-debugging-pipe",
                f"--user-data-dir={profile}",
                "about:blank",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=at_three_and_four,
            close_fds=False,
            env={**os.environ, "HOME": str(profile)},
        )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer = b""
        self._count = 0
        self._session: str | None = None
        self.events: list[Json] = []
        (target,) = [t for t in self("Target.getTargets")["targetInfos"] if t["type"] == "page"]
        attached = self("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **params: Any) -> Json:
        """Send a command and return what comes back; events on the way are kept."""
        self._count += 1
        message: Json = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def open(self, page: Path, *, dark: bool = False) -> None:
        """Load a page and wait for it."""
        self.events.clear()
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", features=[scheme])
        self("Page.navigate", url=page.as_uri())
        deadline = time.monotonic() + 30
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            assert time.monotonic() < deadline, "the page does not load"
            self.events.append(self._next())

    def run(self, script: str) -> Any:
        """Return what an expression in the page gives."""
        answer = self("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def complaints(self) -> list[Json]:
        """Errors, warnings and words on the console since the page was opened."""
        kinds = {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"}
        return [event for event in self.events if event["method"] in kinds]

    def requests(self) -> list[str]:
        """The addresses that were asked for."""
        asked = (event for event in self.events if event["method"] == "Network.requestWillBeSent")
        return [event["params"]["request"]["url"] for event in asked]

    def screenshot(self, file: Path, width: int = 1280, height: int = 1000) -> None:
        """Save a picture of the page's upper part."""
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shown = self("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shown["data"]))

    def close(self) -> None:
        """End the browser."""
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def _next(self) -> Json:
        while b"\0" not in self._buffer:
            chunk = os.read(self._in, 1 << 16)
            assert chunk, "the browser has ended"
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests; skips where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on PATH: apt-get install chromium")
    found = Browser(program, tmp_path_factory.mktemp("chromium"))
    yield found
    found.close()
