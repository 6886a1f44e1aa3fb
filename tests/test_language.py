"""The words of the code and the docs: the table in CONTRIBUTING.md, and citations of the paper.

python -m tests.test_language    # counts by folder, then every finding
"""

import ast
import io
import re
import subprocess
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("src", "data", "eval", "play", "notebooks", "tests", "benchmarks", "configs", "docs")
# Captions, prompts and the phrases they are made of: data, not prose.
CAPTIONS = ("data/bounce/", "data/sample_captions.py", "eval/bounce_checker/validate", "eval/sanity/")
FOREIGN_NAMES = {"share_memory_", "SoundFile", "TestCase"}  # names of other libraries
TABLE = ROOT / "CONTRIBUTING.md"


class Finding(NamedTuple):
    """A word that the table replaces."""

    path: str
    line: int
    word: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.word!r} in {' '.join(self.text.split())[:90]!r}"


class Rules(NamedTuple):
    """Patterns of words that identifiers and prose avoid."""

    names: re.Pattern[str]
    prose: re.Pattern[str]


def read_rules(text: str) -> Rules:
    """Return the patterns of the table under "Language"."""
    terms: dict[str, list[str]] = {"names": [], "prose": []}
    for row in text[text.index("## Language") :].splitlines():
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if len(cells) != 3 or cells[0] in ("instead of", "---"):
            continue
        for scope in cells[2].split(", "):
            terms[scope] += cells[0].split(", ")
    patterns = ["|".join(_pattern(term) for term in terms[scope]) for scope in ("names", "prose")]
    return Rules(*(re.compile(rf"\b(?:{each})\b", re.IGNORECASE) for each in patterns))


def _pattern(term: str) -> str:
    return re.escape(term.removesuffix("*")).replace(r"\ ", r"\s+") + (
        r"[\w.]*" if term.endswith("*") else ""
    )


def tracked_files() -> list[Path]:
    """Return files of the checkout that are checked, relative to it; diary and golden values left out."""
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    keep = [Path(n) for n in names if n.startswith(FOLDERS) or n in ("README.md", "CONTRIBUTING.md")]
    skip = ("docs/log/", "tests/golden/", "tests/test_language.py")
    kinds = (".py", ".md", ".yaml")
    return [p for p in keep if p.suffix in kinds and not str(p).startswith(skip) and (ROOT / p).is_file()]


def split_name(name: str) -> str:
    """Return the words of an identifier, apart: `num_FilmScores` -> "num film scores"."""
    return " ".join(re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name).replace("_", " ").lower().split())


def names_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and text of each identifier: definitions, arguments, keywords, attributes, variables."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.keyword() if node.arg:
                yield node.value.lineno, node.arg
            case ast.Name():
                yield node.lineno, node.id
            case ast.Attribute():
                yield node.lineno, node.attr
            case ast.alias():
                yield node.lineno, node.asname or node.name.split(".")[-1]


def prose_of(source: str, strings: bool) -> Iterator[tuple[int, str]]:
    """Yield line and text of comments and docstrings, and with `strings` of literals that contain a space."""
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, documented) and (text := ast.get_docstring(node, clean=False)) is not None:
            yield node.body[0].lineno, text
        elif strings and isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def markdown_prose(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of a Markdown page, without code and links."""
    code = r"```.*?```|`[^`]*`|\]\([^)]*\)|https?://\S+"
    prose = re.sub(code, lambda match: " " + "\n" * match[0].count("\n"), text, flags=re.DOTALL)
    yield from enumerate(prose.splitlines(), 1)


def check_file(path: Path, rules: Rules) -> list[Finding]:
    """Return every word of a file that the table replaces."""
    text = (ROOT / path).read_text(encoding="utf-8")
    found = [Finding(str(path), 1, m[0], path.name) for m in rules.names.finditer(split_name(path.stem))]
    prose: Iterator[tuple[int, str]] = iter(())
    if path.suffix == ".py":
        for line, name in names_of(ast.parse(text)):
            if name not in FOREIGN_NAMES:
                found += [
                    Finding(str(path), line, m[0], name) for m in rules.names.finditer(split_name(name))
                ]
        prose = prose_of(text, strings=not str(path).startswith(("tests/", *CAPTIONS)))
    elif path.suffix == ".md":
        prose = markdown_prose(text.split("\n| instead of |")[0])
    elif path.suffix == ".yaml":
        for line, row in enumerate(text.splitlines(), 1):
            comment = row[row.index("#") :] if "#" in row else ""
            keys = re.findall(r"([\w.]+):", row[: len(row) - len(comment)])
            found += [
                Finding(str(path), line, m[0], k) for k in keys for m in rules.names.finditer(split_name(k))
            ]
            found += [Finding(str(path), line, m[0], comment) for m in rules.prose.finditer(comment)]
    for line, part in prose:
        for match in rules.prose.finditer(part):
            found.append(Finding(str(path), line + part[: match.start()].count("\n"), match[0], part))
    return found


def findings() -> list[Finding]:
    """Return every finding, sorted by file; each once."""
    rules = read_rules(TABLE.read_text(encoding="utf-8"))
    return sorted({each for path in tracked_files() for each in check_file(path, rules)})


def test_the_table_is_read() -> None:
    rules = read_rules(TABLE.read_text(encoding="utf-8"))
    assert rules.names.search(split_name("FilmWriter"))
    assert rules.names.search(split_name("num_colours"))
    assert rules.prose.search("see spec 3.2")
    assert rules.prose.search("the run goes  on")
    assert not rules.names.search(split_name("shared_armature"))
    assert not rules.prose.search("the share")


def test_a_finding_names_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.py").write_text(
        '"""One.\n\nMend it."""\n\nfilm = 1  # grey\nraise ValueError(f"{film} arms")\n'
    )
    monkeypatch.setattr("tests.test_language.ROOT", tmp_path)
    found = check_file(Path("a.py"), read_rules(TABLE.read_text(encoding="utf-8")))
    assert {(f.line, f.word) for f in found} == {
        (3, "Mend"),
        (5, "film"),
        (5, "grey"),
        (6, "film"),
        (6, "arms"),
    }


def test_words_of_the_field() -> None:
    found = findings()
    assert not found, "\n".join(map(str, found[:40]))


def test_docstrings_do_not_begin_like_questions() -> None:
    question = re.compile(r"(What|Which|Who|Whether|How|Where|When|Why)\b")
    for path in tracked_files():
        if path.suffix == ".py":
            for line, text in prose_of((ROOT / path).read_text(encoding="utf-8"), strings=False):
                assert not question.match(text), f"{path}:{line}: {text[:60]!r} begins like a question"


def mapped_sections() -> set[str]:
    """Return the sections of the paper in the first column of docs/paper_map.md, and those above them."""
    rows = (ROOT / "docs" / "paper_map.md").read_text(encoding="utf-8").splitlines()
    starts = [re.match(r"\| (\d[\d., ]*)", row) for row in rows]
    found = {section for start in starts if start for section in re.findall(r"\d+(?:\.\d+)*", start[1])}
    return {section[:end] for section in found for end in range(1, len(section) + 1)}


def test_cited_sections_are_mapped() -> None:
    mapped = mapped_sections()
    assert "3.1.1" in mapped
    assert "3.1" in mapped
    assert "7" not in mapped
    for path in tracked_files():
        text = (ROOT / path).read_text(encoding="utf-8")
        for cited in re.findall(r"\bsecs?\. (\d+(?:\.\d+)*)", text):
            assert cited in mapped, f"{path} cites sec. {cited}, which docs/paper_map.md does not list"


def main() -> None:
    found = findings()
    folders = Counter("/".join(Path(f.path).parts[:-1][:3]) for f in found)
    for folder, count in sorted(folders.items()):
        print(f"{count:5d}  {folder}")
    print(*found, sep="\n")


if __name__ == "__main__":
    main()
