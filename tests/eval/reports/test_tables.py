"""Tables: nothing is truncated in narrow consoles; intervals contain their means; the best is marked."""

import json
from io import StringIO

import pytest
from rich.console import Console
from rich.measure import Measurement

from eval.core.intervals import Interval
from eval.core.results import FRACTION, Row, Score
from eval.reports.latex_tables import latex_tables
from eval.reports.score_files import CSV_HEADS, csv_row, score_records, write_tables
from eval.reports.tables import (
    best_values,
    by_axis,
    format_cell,
    format_interval,
    markdown_tables,
    require_parent_dir,
)
from eval.reports.terminal_tables import terminal_table

NAMES = [f"a_long_name_{number}" for number in range(8)]
INTERVALS = dict.fromkeys(NAMES, Interval(1, 0, 2, 3, 3, ""))
ROWS = [
    Row(slice=part, system=system, metric="m", num_samples=4, num_scored=3, intervals=INTERVALS)
    for system in ("one", "two")
    for part in ("all", "moving")
]


@pytest.mark.parametrize("width", [80, 400])
def test_nothing_is_cut(width):
    console = Console(file=StringIO(), width=width)
    console.print(terminal_table(ROWS, {name: Score(1) for name in NAMES}, "m", console))
    text = console.file.getvalue()
    lines = len(NAMES) * len(ROWS) if width < 400 else len(ROWS)
    assert sum("1.000 [0.000, 2.000], n=3" in line for line in text.splitlines()) == lines
    assert all(f"{name} ↑" in text for name in NAMES)
    assert text.count("moving") == text.count("one") == 2
    assert "…" not in text
    assert sum("├" in line for line in text.splitlines()) == (len(ROWS) - 1 if width < 400 else 0)


@pytest.mark.parametrize(
    ("unit", "values", "text"),
    [
        (FRACTION, (0.997, 0.9957, 0.9985), "99.7 [99.6, 99.9]"),
        (FRACTION, (0.988, 0.987, 0.989), "98.8 [98.7, 98.9]"),
        ("", (12.345, 11.111, 13.999), "12.35 [11.11, 14.00]"),
        ("", (0.5, 1e-17, 1.0), "0.500 [0.000, 1.000]"),
        ("", (0.00123, 0.0, 0.9), "0.001 [0.000, 0.900]"),
        ("", (0.00123, 0.00120, 0.00126), "0.00123 [0.00120, 0.00126]"),
        ("", (0.002, 0.0008, 0.0032), "0.0020 [0.0008, 0.0032]"),
        ("", (2e-5, 1e-5, 3e-5), "2.00e-05 [1.00e-05, 3.00e-05]"),
    ],
)
def test_interval_has_the_digits_of_its_mean(unit, values, text):
    assert format_interval(Interval(*values, 3, 3, ""), Score(1, unit)) == text


def test_best_mean_is_marked():
    scores = {"psnr": Score(1), "fd": Score(-1), "count": Score(0)}
    rows = [
        Row(
            slice="all",
            system=system,
            metric="fidelity",
            num_samples=4,
            num_scored=4,
            intervals={name: Interval(mean, 0, 9, 3, 3, "") for name, mean in values.items()},
        )
        for system, values in (
            ("one", {"psnr": 1, "fd": 1, "count": 1}),
            ("two", {"psnr": 2, "fd": 2, "count": 2}),
        )
    ]
    assert best_values(rows, scores) == {("two", "all", "psnr"), ("one", "all", "fd")}
    assert best_values(rows[:1], scores) == set()
    text = markdown_tables(rows, {"fidelity": scores})
    assert "| two | all | 4 / 4 | **2.000** [0.000, 9.000], n=3 | 2.000 " in text


def row(metric, interval, **rest):
    """A row with one value of the metric's name."""
    counts = {"num_samples": 6, "num_scored": 4}
    return Row(slice="all", system="", metric=metric, intervals={metric: interval}, **counts, **rest)


def test_tables_are_grouped_by_axis():
    one = Interval(0.5, 0.4, 0.6, 4, 4, "t")
    rows = [row("clap", one), row("niqe", one), row("desync", one), row("kl_aisfx", one)]
    assert [(axis, [name for name, _ in metrics]) for axis, metrics in by_axis(rows)] == [
        ("quality", ["niqe"]),
        ("alignment", ["clap", "desync", "kl_aisfx"]),
    ]
    heads = [line for line in markdown_tables(rows, {}).splitlines() if line.startswith("#")]
    assert heads == [
        "## Quality",
        "### niqe: overall",
        "## Alignment",
        "### clap: overall",
        "### desync: diegetic synchronization",
        "### kl_aisfx: overall",
    ]
    latex = [line.split(";")[0] for line in latex_tables(rows, {}).splitlines()]
    assert [line for line in latex if line.startswith(("%", "\\paragraph"))][:4] == [
        "\\paragraph{Quality}", "% niqe: overall", "\\paragraph{Alignment}", "% clap: overall",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="'nothing' names no axis"):
        markdown_tables([row("nothing", one)], {})


def test_numbers_of_samples_stand_at_each_value():
    sets = Interval(0.5, 0.4, 0.6, 4, 4, "t", num_reference=7)
    each = row("niqe", sets, reference_scored=7, reference_samples=9)
    assert "| – | all | 4 / 6 vs 7 / 9 | 0.500 [0.400, 0.600], n=4 vs 7 |" in markdown_tables([each], {})
    assert "4 / 6 vs 7 / 9 & 0.500 [0.400, 0.600], n=4 vs 7" in latex_tables([each], {})
    cells = csv_row(each, "niqe")
    assert cells[:6] == ["", "quality", "overall", "niqe", "all", "niqe"]
    assert cells[6:] == [
        *("0.5", "0.4", "0.6", "4", "7", "4", "6", "7", "9", "t", "false"),
    ]
    summary = {"measured": [], "dropped": [], "seed": 0, "versions": {}}
    (record,) = score_records([each], summary, {})
    assert (record["axis"], record["sub_axis"]) == ("quality", "overall")
    assert (record["reference_scored"], record["reference_samples"]) == (7, 9)
    dropped = [
        {"id": name, "system": system, "metric": metric, "reason": "why"}
        for name, system, metric in (("1", "", "niqe"), ("2", "other", "niqe"), ("3", "", "vmaf"))
    ]
    (record,) = score_records([each], {**summary, "dropped": dropped}, {})
    assert record["dropped"] == [{"id": "1", "reason": "why"}]


def test_negative_numbers_have_a_minus_in_latex():
    lost = Row(slice="a-1", system="b-2", metric="audio_fidelity", num_samples=9, num_scored=9,
               intervals={"si_sdr": Interval(-2.5, -3.25, 1e-5, 9, 9, "t")})  # fmt: skip
    text = latex_tables([lost], {})
    assert "b-2 & a-1 & 9 / 9 & $-$2.500 [$-$3.250, 0.000], n=9" in text


def test_values_without_an_interval_and_of_skewed_samples():
    alone = Interval(0.5, None, None, 3, 3, "none, fewer than 5")
    assert format_cell(alone) == "0.500, n=3"
    assert format_cell(alone, Score(1, FRACTION)) == "50.0, n=3"
    assert csv_row(row("niqe", alone), "niqe")[7:9] == ["", ""]
    skewed = Interval(0.5, 0.4, 0.9, 30, 30, "t", skewed=True)
    assert format_interval(skewed) == "0.500 [0.400, 0.900]†"
    assert "† skewed and small sample" in markdown_tables([row("niqe", skewed)], {})
    assert "†" not in markdown_tables([row("niqe", alone)], {})
    assert "[0.400, 0.900]$^\\dagger$" in latex_tables([row("niqe", skewed)], {})
    console = Console(file=StringIO(), width=200)
    console.print(terminal_table([row("niqe", skewed)], {}, "niqe", console))
    assert "† skewed and small sample" in " ".join(console.file.getvalue().split())


def test_the_files_of_a_run_hold_its_tables(tmp_path):
    rows = [row("niqe", Interval(0.5, 0.4, 0.6, 4, 4, "t")), row("clap", Interval(1, 0, 2, 4, 4, "t"))]
    summary = {"measured": [], "dropped": [], "seed": 7, "versions": {"name": "ä"}}
    write_tables(tmp_path, rows, summary, {})
    texts = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert set(texts) == {"table.md", "table.tex", "table.csv", "scores.jsonl", "summary.json"}
    assert texts["table.md"] == markdown_tables(rows, {})
    assert texts["table.tex"] == latex_tables(rows, {})
    lines = [",".join(CSV_HEADS), *(",".join(csv_row(each, each.metric)) for each in rows)]
    assert texts["table.csv"] == "".join(line + "\n" for line in lines)
    records = [json.loads(line) for line in texts["scores.jsonl"].splitlines()]
    assert [each["metric"] for each in records] == ["niqe", "clap"]
    assert {each["seed"] for each in records} == {7}
    content = json.loads(texts["summary.json"])
    assert {key: content[key] for key in summary} == summary
    assert [each["intervals"]["niqe"]["mean"] for each in content["rows"][:1]] == [0.5]
    assert texts["summary.json"].startswith('{\n  "measured": [],\n')
    assert "ä" in texts["summary.json"]
    assert texts["summary.json"].endswith("}\n")


def test_the_row_of_all_samples_is_bold_and_missing_ones_are_red():
    console = Console(file=StringIO(), width=200, force_terminal=True, color_system="standard")
    console.print(terminal_table(ROWS[:2], {NAMES[0]: Score(1)}, "m", console))
    lines = console.file.getvalue().splitlines()
    every, part = (
        next(line for line in lines if name in line and "1.000" in line) for name in ("all", "moving")
    )
    assert "\x1b[1m" in every
    assert "\x1b[1m" not in part
    assert "31m3/4" in part  # red
    for width, beginning in ((80, f"{NAMES[0]} ↑"), (400, "1.000")):
        console = Console(file=StringIO(), width=width)
        console.print(terminal_table(ROWS[:1], {NAMES[0]: Score(1)}, "m", console))
        line = next(each for each in console.file.getvalue().splitlines() if "1.000" in each)
        cell = line.strip("│").split("│")[2]
        assert cell.startswith(f" {beginning}")  # names begin at the left, numbers fill their column


def test_the_folder_of_a_file_must_exist(tmp_path):
    require_parent_dir("")
    require_parent_dir(str(tmp_path / "table.md"))
    with pytest.raises(ValueError, match=r"out: no such folder: .*nowhere"):
        require_parent_dir(str(tmp_path / "nowhere" / "table.md"))


@pytest.mark.parametrize(("width", "justified"), [(80, "left"), (400, "right")])
def test_values_stand_under_their_heads(width, justified):
    table = terminal_table(ROWS, {name: Score(1) for name in NAMES}, "m", Console(width=width))
    assert [column.justify for column in table.columns[:3]] == ["left", "left", "right"]
    assert {column.justify for column in table.columns[3:]} == {justified}


def test_a_table_that_just_fits_is_not_turned():
    scores = {name: Score(1) for name in NAMES}
    wide = Console(width=1000)
    table = terminal_table(ROWS, scores, "m", wide)
    needed = Measurement.get(wide, wide.options, table).maximum
    columns = [len(terminal_table(ROWS, scores, "m", Console(width=needed - n)).columns) for n in (0, 1)]
    assert columns == [3 + len(NAMES), 5]
