"""Names and tags of users are shown as text in every format, markup included."""

import re
from html.parser import HTMLParser
from io import StringIO

import numpy as np
import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from eval.core.intervals import Interval
from eval.core.results import Row, Score
from eval.reports.html_page import tables_html
from eval.reports.latex_tables import latex_tables
from eval.reports.plain_text import as_html, as_latex, as_markdown, one_line
from eval.reports.tables import format_interval, markdown_tables
from eval.reports.terminal_tables import terminal_table

PARTS = (
    *(
        "[/x]",
        "[bold]",
        "[red]",
        "<script>",
        "</td>",
        "&amp;",
        "<!--",
        "|",
        "\\",
        "`",
        "**",
        "__",
        "_",
        "~~",
        "$x$",
    ),
    *(
        "\n",
        "\r",
        "\t",
        "\x1b[31m",
        "\x07",
        "\u2028",
        "\u0085",
        "\u202e",
        "\udcff",
        "%",
        "#",
        "{",
        "}",
        "^",
        "~",
    ),
    *(
        "[a](b)",
        "![a](b)",
        "https://x.y",
        "'",
        '"',
        "é",
        "日本",
        "a b",
        "--",
        ":smile:",
        "{{",
        "\\\\",
        "\\end{tabular}",
    ),
)

ALLOWED = {"h2", "h3", "table", "thead", "tbody", "tr", "th", "td", "strong", "ul", "li", "p"}


def nasty_text(seed):
    rng = np.random.default_rng(seed)
    return "".join(PARTS[n] for n in rng.integers(0, len(PARTS), rng.integers(1, 7)))


def rows_of(text):
    interval = {"psnr": Interval(1.0, 0.5, 1.5, 9, 9, "")}
    return [
        Row(
            slice=part,
            system=text,
            metric="fidelity",
            num_samples=9,
            num_scored=8,
            intervals=interval,
            notes=(text,),
        )
        for part in ("all", text)
    ]


class Texts(HTMLParser):
    """The tags of a page, and the texts between them."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.texts.append(data)


@pytest.mark.parametrize("number", range(40))
def test_any_text_in_every_table(number):
    text = nasty_text(number)
    shown, rows, scores = one_line(text), rows_of(text), {"fidelity": {"psnr": Score(1, "dB")}}
    assert shown.isprintable()
    console = Console(file=StringIO(), width=1000, force_terminal=True, color_system=None)
    console.print(terminal_table(rows, scores["fidelity"], text, console))
    assert shown.strip() in console.file.getvalue()
    plain, page = Texts(tables_html(rows_of("plain"), scores)), Texts(tables_html(rows, scores))
    assert page.tags == plain.tags
    assert page.texts.count(shown) == 4  # two systems, a slice, a note
    rendered = MarkdownIt("gfm-like", {"linkify": False}).render(markdown_tables(rows, scores))
    cells = re.findall(r"<td>(.*?)</td>", rendered, re.DOTALL)
    assert len(cells) == 8
    assert "".join(Texts(cells[1] + cells[5]).texts).count(shown.strip()) >= 1
    assert not set(Texts(rendered).tags) - ALLOWED
    tex = latex_tables(rows, scores)
    body = tex.split("\\midrule\n")[1].split("\\bottomrule")[0].splitlines()
    assert len(body) == 2
    for line in body:
        assert line.endswith(" \\\\")
        assert len(re.findall(r"(?<!\\)&", line)) == 3
        assert not re.search(r"(?<!\\)[%#_]|^\[", line)


def test_what_text_becomes():
    assert one_line("a\nb\x1b[1m\udcff") == "a\\nb\\x1b[1m\\udcff"
    assert as_markdown("a_b <i> [x](y)") == "a\\_b &lt;i&gt; \\[x\\](y)"
    assert as_html("<a & 'b'>") == "&lt;a &amp; &#x27;b&#x27;&gt;"
    assert as_latex("[1] 5 % a_b--c") == "{[}1] 5 \\% a\\_b-{}-c"


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ((0.00123, 0.0011, 0.00136), "0.00123 [0.00110, 0.00136]"),
        ((0.0123, -0.4, 0.5), "0.012 [-0.400, 0.500]"),  # further digits would say nothing
        ((123456.7, 123000, 124000), "123456.7 [123000.0, 124000.0]"),
        ((0.0, 0.0, 0.0), "0.000 [0.000, 0.000]"),
        ((3.14159e-6, 3e-6, 3.3e-6), "3.14e-06 [3.00e-06, 3.30e-06]"),
        ((-5.0, -6.0, -4.0), "-5.000 [-6.000, -4.000]"),
    ],
)
def test_significant_digits_as_many_in_the_bounds(values, shown):
    assert format_interval(Interval(*values, 9, 9, "")) == shown


def test_small_percentages_have_two_digits():
    assert (
        format_interval(Interval(0.00123, 0.0011, 0.0014, 9, 9, ""), Score(1, "fraction"))
        == "0.12 [0.11, 0.14]"
    )
    assert format_interval(Interval(0.5, 0.25, 0.75, 9, 9, ""), Score(1, "fraction")) == "50.0 [25.0, 75.0]"
