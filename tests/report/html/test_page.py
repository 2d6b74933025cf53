"""The page as a whole: small, alone, and only text where it shows text."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pytest_fib.report.html.page import render

Make = Callable[..., dict[str, Any]]
HOSTILE = "</script></style><script>alert(1)</script><img src=x onerror=alert(2)>\"'`--><!--\u202e\u2066\x1b[31m&lt;"


class Seen(HTMLParser):
    """Elements, and what they would load or run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.loading: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "action", "data", "style") or name.startswith("on"):
                self.loading.append(f"{tag} {name}={value}")

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def many(measured: Make, traced: Make, reported: Make) -> dict[str, Any]:
    """A thousand gated measurements on five definitions, one in ten of which failed with a long text."""
    measurements, traces = [], []
    for index in range(1000):
        latency = 0.01 * (1 + index % 50)
        samples = [latency * (1 + (7 * i + index) % 11 / 100) for i in range(150)]
        entry = measured(
            f"{index:08d}-0000",
            definition=f"definition_number_{index // 200}",
            solution=f"solution_number_{index // 50 % 4}",
            solution_hash=f"{index // 50:064d}",
            latency_ms=latency,
            samples_ms=samples,
            samples_per_trial=[30] * 5,
            floor_ms=latency / 3,
            ratio=1 + index % 7 / 100,
            ratio_ci=[0.98, 1.08],
            verdict="AMBIGUOUS",
        )
        if index % 10 == 0:
            entry |= {"status": "RUNTIME_ERROR", "failure": "a line of a traceback\n" * 300, "verdict": None}
        measurements.append(entry)
        traces.append(traced(entry, batch_size=1 + index % 50))
    return reported(measurements, traces)


def test_a_thousand_measurements_stay_below_the_limit_and_what_is_left_out_is_said(
    many: dict[str, Any],
) -> None:
    page = render(many)
    assert 200_000 < len(page.encode()) < 300_000
    seen = Seen(page)
    shown = int(re.search(r"(\d+) rows", seen.text)[1])  # type: ignore[index]
    assert shown > 500
    assert f"… {1000 - shown} rows not shown here" in seen.text
    assert "failures not shown here" in seen.text
    assert "workloads not shown here" in seen.text
    for title in (
        "Gate",
        "Scores",
        "Failures",
        "Results",
        "Latency and problem size",
        "fast_p",
        "Roofline",
        "Samples",
    ):
        assert title in seen.text
    assert "900 of 1000 workloads passed" in seen.text


def test_names_and_texts_of_any_length_stay_below_the_limit(measured: Make, reported: Make) -> None:
    wide = HOSTILE * 200 + "\U0001f600" * 5000
    everywhere = dict.fromkeys(
        ("nodeid", "solution", "status", "failure", "verdict", "clock", "inputs"), wide
    )
    entries = [
        measured(
            f"{index}{wide}",
            **everywhere,
            definition=f"{index}{wide}",
            solution_hash=f"{index}{wide}",
            remarks=[f"{index}{wide}"],
            ratio=1.1,
        )
        for index in range(300)
    ]
    document = reported(entries, environment={wide: [wide] * 300}, config={wide: {wide: wide}})
    document["skipped"] = [{"reason": f"{index}{wide}"} for index in range(300)]
    assert len(render(document).encode()) < 300_000


def test_hostile_names_are_shown_and_nothing_else(measured: Make, traced: Make, reported: Make) -> None:
    names = dict.fromkeys(("definition", "workload", "solution", "solution_hash", "nodeid"), HOSTILE)
    others = dict.fromkeys(
        ("clock", "inputs", "integrity", "integrity_detail", "failure", "verdict"), HOSTILE
    )
    entries = [
        measured(**names, **others, remarks=[HOSTILE], ratio=1.5, ratio_ci=[1.4, 1.6], floor_ms=0.001),
        measured(**{**names, "workload": "other"}, status=HOSTILE, failure=HOSTILE),
    ]
    traces = [traced(entry, **{HOSTILE: index + 1}) for index, entry in enumerate(entries)]
    document = reported(
        entries, traces, environment={"hardware": HOSTILE, HOSTILE: HOSTILE}, config={HOSTILE: [HOSTILE]}
    )
    document["solutions"] = [
        dict.fromkeys(("name", "author", "definition", "language", "hash", "path"), HOSTILE)
    ]
    document["skipped"] = [{**names, "reason": HOSTILE}]
    document["fuzz"] = [{**names, "status": HOSTILE, "failing": [{"status": HOSTILE, "axes": {HOSTILE: 1}}]}]
    page = render(document)
    seen = Seen(page)
    assert seen.names.count("script") == 1
    assert seen.names.count("style") == 1
    assert "img" not in seen.names
    assert seen.loading == ["link href=data:,"]
    assert not set(page) & set("\u202e\u2066\x1b")
    assert "<script>alert(1)" in seen.text
    assert "\\u202e" in seen.text


def test_only_our_script_may_run_and_nothing_may_be_loaded(measured: Make, reported: Make) -> None:
    page = render(reported([measured()]))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy[1].replace("&#x27;", "'").split("; "))
    assert rules["default-src"] == "'none'"
    for name in ("script", "style"):
        content = re.search(rf"<{name}>(.*?)</{name}>", page, re.DOTALL)
        assert content is not None
        digest = base64.b64encode(hashlib.sha256(content[1].encode()).digest()).decode()
        assert rules[f"{name}-src"] == f"'sha256-{digest}'"
    assert "http:" not in page
    assert "https:" not in page


def test_an_empty_run_is_a_page(reported: Make) -> None:
    seen = Seen(render(reported([])))
    assert "No workload was judged." in seen.text
    assert "Nothing failed." in seen.text


def test_in_a_real_browser(
    browser: Any, many: dict[str, Any], measured: Make, traced: Make, reported: Make, tmp_path: Path
) -> None:
    """Loads alone and without complaints; sorts, filters, shows what a point is; light and dark."""
    latencies = [(0.5, "TIMEOUT"), (0.02, "PASSED"), (1.5, "PASSED"), (0.003, "PASSED")]
    entries = [
        measured(
            f"w{index}",
            status=status,
            latency_ms=ms if status == "PASSED" else None,
            solution=f"{index}{HOSTILE}",
            failure=HOSTILE if status != "PASSED" else None,
        )
        for index, (ms, status) in enumerate(latencies)
    ]
    page = tmp_path / "page.html"
    page.write_text(
        render(reported(entries, [traced(e, batch_size=i + 1) for i, e in enumerate(entries)])), "utf-8"
    )
    browser.open(page)
    assert browser.complaints() == []
    assert [url for url in browser.requests() if not url.startswith("data:")] == [page.as_uri()]
    assert browser.run("document.querySelectorAll('script, img').length") == 1

    rows = "[...document.querySelectorAll('#results tbody tr')].filter(row => !row.hidden)"
    workloads = f"{rows}.map(row => row.cells[2].textContent)"
    click = (
        "[...document.querySelectorAll('#results th button')].find(b => b.textContent === 'latency').click()"
    )
    assert browser.run(workloads) == ["w0", "w1", "w2", "w3"]
    browser.run(click)
    assert browser.run(workloads) == ["w3", "w1", "w2", "w0"]
    browser.run(click)
    assert browser.run(workloads) == ["w2", "w1", "w3", "w0"]
    write = "(() => { const e = document.getElementById('%s'); e.value = '%s'; e.dispatchEvent(new Event('%s')); })()"
    browser.run(write % ("find", "passed W1", "input"))
    assert browser.run(workloads) == ["w1"]
    assert browser.run("document.getElementById('count').textContent") == "1 of 4 rows"
    browser.run(write % ("find", "", "input"))
    browser.run(write % ("status", "TIMEOUT", "change"))
    assert browser.run(workloads) == ["w0"]

    mark = "document.querySelector('svg title').parentNode"
    browser.run(f"{mark}.dispatchEvent(new PointerEvent('pointerover', {{bubbles: true}}))")
    assert browser.run("document.getElementById('tip').hidden") is False
    assert browser.run("document.getElementById('tip').textContent").endswith("20.0 µs")

    backs = {}
    for dark in (False, True):
        browser.open(page, dark=dark)
        backs[dark] = browser.run("getComputedStyle(document.body).backgroundColor")
        browser.screenshot(tmp_path / "page.png")
        assert (tmp_path / "page.png").stat().st_size > 10_000
    assert backs == {False: "rgb(255, 255, 255)", True: "rgb(20, 23, 26)"}

    page.write_text(render(many), "utf-8")
    browser.open(page)
    assert browser.complaints() == []
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
