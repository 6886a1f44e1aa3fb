"""Names, tags and prompts of users as text in each format: in one line, and nothing in them is markup."""

from html import escape

from rich.text import Text

from src.core.latex import escape_latex

_MARKDOWN = {sign: "\\" + sign for sign in "\\`*_[]~$"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"}


def one_line(text: str) -> str:
    """Return text with everything that is not printed (line ends, control and bidi codes) as an escape."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def as_markdown(text: str) -> str:
    """Return text for Markdown; pipes are escaped by `markdown_table`."""
    return "".join(_MARKDOWN.get(sign, sign) for sign in one_line(text))


def as_html(text: str) -> str:
    """Return text for HTML, also within attributes."""
    return escape(one_line(text))


def as_latex(text: str) -> str:
    """Return text for LaTeX; a bracket that begins a line of a table would be read as its argument."""
    shown = "-{}-".join(map(escape_latex, one_line(text).split("--")))
    return "{[}" + shown[1:] if shown.startswith("[") else shown


def as_terminal(text: str, style: str = "") -> Text:
    """Return text for rich, which would read brackets as markup."""
    return Text(one_line(text), style=style)
