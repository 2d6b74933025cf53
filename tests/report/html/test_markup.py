from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.report.html.markup import Markup, joined, number, tag, text, void

ANY_TEXT = st.text(max_size=60) | st.sampled_from(
    ["</script>", '"><img src=x onerror=alert(1)>', "\u202e&<>'\""]
)


class Reader(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.data = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.data += data


def read(markup: str) -> Reader:
    reader = Reader()
    reader.feed(markup)
    reader.close()
    return reader


@given(ANY_TEXT, ANY_TEXT)
def test_any_text_stays_text_in_content_and_in_attributes(content: str, value: str) -> None:
    found = read(tag("p", content, title=value))
    assert [name for name, _ in found.tags] == ["p"]
    assert list(found.tags[0][1]) == ["title"]
    assert found.data.isprintable()
    if content.isprintable():
        assert found.data == content
    if value.isprintable():
        assert found.tags[0][1]["title"] == value


def test_markup_is_kept_and_text_beside_it_escaped() -> None:
    assert tag("b", tag("i", "a<b"), "<c>") == "<b><i>a&lt;b</i>&lt;c&gt;</b>"
    assert joined([Markup("<br>"), "&"]) == "<br>&amp;"
    assert isinstance(joined([]), Markup)


def test_attributes() -> None:
    assert void("meta", http_equiv="x", class_=None, hidden=False) == '<meta http-equiv="x">'
    assert tag("td", class_="n", hidden=True, x=1.25) == '<td class="n" hidden x="1.2"></td>'


def test_long_text_is_cut() -> None:
    assert len(text("x" * 10_000)) == 200


@given(st.floats(-1e6, 1e6))
def test_coordinates_are_short_and_near(value: float) -> None:
    assert abs(float(number(value)) - value) <= 0.05001
    assert not number(value).endswith(".0")
    assert number(value) != "-0"
