"""Lists from spreadsheets and scripts: no row is lost, cut or merged in silence."""

import json
from pathlib import Path

import pytest

from data.config import ColumnNames
from data.sources.listing import Listing
from data.sources.tables import list_table
from src.streaming.schema.bucket import DataError


def read(folder: Path, text: str | bytes, columns: ColumnNames | None = None) -> Listing:
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (folder / name).write_bytes(b"")
    data = text.encode() if isinstance(text, str) else text
    kind = "jsonl" if data.lstrip().startswith(b"{") else "csv"
    (folder / f"list.{kind}").write_bytes(data)
    return list_table(folder / f"list.{kind}", kind, folder, columns or ColumnNames())


def captions(listing: Listing) -> dict[str, list[str]]:
    return {i["path"]: i.get("captions", []) for i in listing.items if "reason" not in i}


def reasons(listing: Listing) -> dict[str, str]:
    return {i["path"]: f"{i['reason']}: {i['detail']}" for i in listing.items if "reason" in i}


def test_a_row_with_more_values_than_columns_is_rejected_with_its_line(tmp_path: Path) -> None:
    listing = read(tmp_path, 'path,caption\na.mp4,A dog, seen from above, runs\nb.mp4,"A cat, asleep"\n')
    assert captions(listing) == {"b.mp4": ["A cat, asleep"]}
    assert reasons(listing)["list.csv:2"].startswith("too many values: 4 values for 2 columns; put texts")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('path,caption\na.mp4,x\nb.mp4,"Wait for me\nc.mp4,y\n', "list.csv:3: a quote opens here and never"),
        ('path,caption\na.mp4,"x' + "\nb.mp4,y" * 600, "list.csv:2: a quote opens here and never closes"),
        (
            'path,caption\na.mp4,"Wait\nb.mp4,x\nc.mp4,"A cat, asleep"\n',
            "list.csv:2: a quote opens here and runs",
        ),
        (
            'path,caption\na.mp4,"Wait\nb.mp4,x\nc.mp4,the end"\n',
            "list.csv:2: a quote opens here and runs into",
        ),
    ],
)
def test_a_quote_that_never_closes_is_an_error_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read(tmp_path, text)


def test_quotes_inside_texts(tmp_path: Path) -> None:
    text = 'path,caption\na.mp4,"Stop" reads a red sign\nb.mp4,a 5" disk\nc.mp4,"two\nlines, ""quoted"""\n'
    listing = read(tmp_path, text)
    assert captions(listing) == {"b.mp4": ['a 5" disk'], "c.mp4": ['two\nlines, "quoted"']}
    assert reasons(listing)["list.csv:2"].startswith("bad quoting: text after a closing quote")


def test_a_caption_longer_than_the_csv_module_takes(tmp_path: Path) -> None:
    assert captions(read(tmp_path, f"path,caption\na.mp4,{'word ' * 40_000}\n"))["a.mp4"] == [
        ("word " * 40_000).strip()
    ]


def test_header_names_are_trimmed_and_unknown_ones_named(tmp_path: Path) -> None:
    listing = read(tmp_path, "path, caption , num_frames\na.mp4, a ramp ,20\n")
    assert captions(listing) == {"a.mp4": ["a ramp"]}
    assert listing.notes == ["list.csv: columns that are not read: num_frames"]
    listing = read(tmp_path, "path,text,num_frames\na.mp4,a ramp,20\n")
    assert captions(listing) == {"a.mp4": []}
    assert listing.notes == [
        "list.csv: columns that are not read: text (did you mean caption? "
        "files.columns.caption=text reads it), num_frames"
    ]
    listing = read(tmp_path, "path,text\na.mp4,a ramp\n", ColumnNames(caption="text"))
    assert (captions(listing), listing.notes) == ({"a.mp4": ["a ramp"]}, [])


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_delimiters_encodings_and_line_endings(
    tmp_path: Path, delimiter: str, encoding: str, ending: str
) -> None:
    rows = [["path", "caption"], ["a.mp4", "größer\u2028und \u0085 weiter"], [], ["b.mp4", "two"]]
    text = ending.join(delimiter.join(row) for row in rows)
    assert captions(read(tmp_path, text.encode(encoding))) == {
        "a.mp4": ["größer\u2028und \u0085 weiter"],
        "b.mp4": ["two"],
    }


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("path,caption\na.mp4,x".encode("utf-16-le"), "list.csv:1: a zero byte; save the list as UTF-8"),
        (
            b"file,caption\na.mp4,x\n",
            "list.csv:1: the first line must name the columns, with path",
        ),
        (b"", "list.csv: empty; the first line must name the columns"),
        (b"path,path\n", "list.csv:1: column 'path' is repeated"),
    ],
)
def test_lists_that_cannot_be_read(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read(tmp_path, data)


def test_rows_that_cannot_be_used_are_named_by_line(tmp_path: Path) -> None:
    listing = read(
        tmp_path,
        b"path,caption,start,end\na.mp4,gr\xf6\xdfer,,\n,x,,\na.mp4,x,soon,\na.mp4,x,3,2\na.mp4,x,-1,\na.mp4,x,nan,\n"
        b"../other.mp4,x,,\n/etc/passwd,x,,\nhttp://host/a.mp4,x,,\n.,x,,\n" + b"d/" * 3000 + b"x.mp4,x,,\n",
    )
    assert captions(listing) == {}
    found = {where: text.split(":")[0] for where, text in reasons(listing).items()}
    assert found == {
        "list.csv:2": "caption is not UTF-8",
        "list.csv:3": "no path",
        "list.csv:4": "bad time",
        "list.csv:5": "bad time",
        "list.csv:6": "bad time",
        "list.csv:7": "bad time",
        "list.csv:8": "outside the folder",
        "list.csv:9": "outside the folder",
        "http://host/a.mp4": "missing file",
        ".": "missing file",
        "d/" * 3000 + "x.mp4": "bad path",
    }


def test_another_root_allows_absolute_paths(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "a.mp4").write_bytes(b"")
    (tmp_path / "lists" / "list.csv").write_text(f"path\n{tmp_path}/a.mp4\n")
    (item,) = list_table(tmp_path / "lists" / "list.csv", "csv", Path("/"), ColumnNames()).items
    assert "reason" not in item


def test_rows_of_one_stretch_are_one_input(tmp_path: Path) -> None:
    listing = read(tmp_path, "path,caption,start,end\na.mp4,one,0,2\na.mp4,two,0,2\na.mp4,later,4,\n")
    assert [(i.get("start"), i.get("end"), i["captions"]) for i in listing.items] == [
        (0.0, 2.0, ["one", "two"]),
        (4.0, None, ["later"]),
    ]


def test_json_lines(tmp_path: Path) -> None:
    rows = [
        {"path": "a.mp4", "caption": "line\u2028break", "license": "CC0", "mood": "calm"},
        {"path": "b.mp4", "captions": ["one", "two"], "start": 1, "end": 2.5},
        {"path": "c.mp4", "caption": 3},
        {"path": 4},
    ]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows) + "{broken\n\n[1]\n"
    listing = read(tmp_path, text)
    assert captions(listing) == {"a.mp4": ["line\u2028break"], "b.mp4": ["one", "two"]}
    assert listing.items[0]["license"] == "CC0"
    assert (listing.items[1]["start"], listing.items[1]["end"]) == (1.0, 2.5)
    assert {where: text.split(":")[0] for where, text in reasons(listing).items()} == {
        "list.jsonl:3": "bad caption",
        "list.jsonl:4": "no path",
        "list.jsonl:5": "not JSON",
        "list.jsonl:7": "not JSON",
    }
    assert listing.notes == ["list.jsonl: columns that are not read: mood"]
