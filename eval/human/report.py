"""Report a study: `python -m eval.human report STUDY`, or `report votes=FILE out=FOLDER` without a study.

Writes report.html (with the clips), report.md, a CSV and a LaTeX table of each part, plots as SVG and PDF,
methods.tex with references.bib, and preferences.jsonl and .csv: every counted vote of every rater, which
`eval.human.agreement` compares with automatic metrics.
"""

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from eval.human.analysis.preferences import Mark, Preference, SystemScore
from eval.human.config import NO_MAJORITY
from eval.human.study import RATERS, VOTES, Study, load_study, read_raters_file, read_votes_file
from eval.human.votes import VOTE_VALUES, read_votes
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import Config, opt

NAMES = {value: name for name, value in VOTE_VALUES.items()}


@dataclass(frozen=True, kw_only=True)
class ReportConfig(Config):
    """Settings of `eval.human report`."""

    study: str = opt("", "folder of the study")
    votes: str = opt("", "instead, votes in the format of eval/human/votes.py (see `exchange`)")
    out: str = opt("", "folder of the report; empty for STUDY/report")
    no_majority: str = opt(
        "", "policy for prompts without a majority; of a study its own", choices=("", *NO_MAJORITY)
    )
    raters: bool = opt(True, "write votes with the raters' pseudonyms; false gives them new ones by number")
    num_items: int = opt(24, "comparisons with clips on the page", ge=0)
    seed: int = opt(0, "seed of bootstraps and permutations, without a study")

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.study) == bool(self.votes):
            raise ValueError("study: name a study's folder, or a file with votes=")
        if self.votes and not self.out:
            raise ValueError("out: name a folder for the report")
        if self.study and self.no_majority:
            raise ValueError("no_majority: the study's own policy was fixed before voting")


def write_report(config: ReportConfig) -> Path:
    """Write all files of a report and return the page's path.

    Raises:
        ValueError: the study or its votes are broken, or no votes are left.
    """
    from eval.human.reporting.page import write_page
    from eval.human.reporting.plots import write_plots
    from eval.human.reporting.results import compute_results, study_results
    from eval.human.reporting.tables import all_tables

    study = load_study(config.study) if config.study else None
    if study is not None:
        update_votes(study.folder)
        votes = read_votes_file(study.folder / VOTES)
        raters = read_raters_file(study.folder / RATERS) if (study.folder / RATERS).is_file() else []
        results = study_results(study, votes, raters)
        title, lead = study.plan.title.get("en") or study.plan.name, study_lead(study)
    else:
        preferences = read_preferences(Path(config.votes))
        policy = config.no_majority or "tie"
        results = compute_results(preferences, no_majority=policy, seed=config.seed)
        title = f"Votes of {Path(config.votes).name}"
        lead = f"Prompts without a majority: {policy}. Nothing was excluded."
    out = Path(config.out) if config.out else Path(config.study) / "report"
    out.mkdir(parents=True, exist_ok=True)
    tables = all_tables(results)
    plots = write_plots(results, out)
    svg = {name: (out / f"{name}.svg").read_text(encoding="utf-8") for name in plots}
    (out / "report.md").write_text(
        "\n".join([f"# {title}\n", f"{lead}\n", *(f"- {note}" for note in results.notes), ""])
        + "\n"
        + "\n".join(table.markdown() for table in tables),
        encoding="utf-8",
    )
    for table in tables:
        (out / f"{table.name}.csv").write_text(table.csv(), encoding="utf-8")
        (out / f"{table.name}.tex").write_text(table.latex(), encoding="utf-8")
    write_preferences(out, results.preferences, pseudonyms=config.raters)
    write_scores(out, results.scores, pseudonyms=config.raters)
    write_marks(out, results.marks, pseudonyms=config.raters)
    if study is not None:
        from eval.human.reporting.methods import BIBLIOGRAPHY, methods_paragraph

        (out / "methods.tex").write_text(methods_paragraph(study, results), encoding="utf-8")
        (out / "references.bib").write_text(BIBLIOGRAPHY, encoding="utf-8")
    write_page(out / "report.html", title, lead, tables, svg, results, study, config.num_items)
    return out / "report.html"


def study_lead(study: Study) -> str:
    """Return the first sentence of a study's report."""
    plan = study.plan
    lineage = f" (extends {', '.join(each[:12] for each in plan.lineage)})" if plan.lineage else ""
    return (
        f"{', '.join(plan.systems)} on {len(plan.axes)} axes. Plan {plan.hash[:12]}{lineage}, round "
        f"{plan.round}. Prompts without a majority: {study.config.no_majority}."
    )


def update_votes(folder: Path) -> None:
    """Export the votes of a study's database, if it has one.

    Raises:
        ValueError: the folder has neither a database nor votes.jsonl.
    """
    if (folder / "study.db").is_file() or load_study(folder).config.database:
        from eval.human.server.export import export_votes  # SQLAlchemy: only where there is a database

        export_votes(folder)
    if not (folder / VOTES).is_file():
        raise ValueError(f"report: {folder} has no votes yet; serve the study, or import answers")


def read_preferences(path: Path) -> list[Preference]:
    """Return the votes of a file as preferences; the sample is the cluster where there is no prompt."""
    found = []
    for vote in read_votes(path):
        a, b = sorted((vote.system_a, vote.system_b))
        value = int(VOTE_VALUES[vote.vote]) * (1 if a == vote.system_a else -1)
        found.append(
            Preference(
                rater=vote.rater,
                axis=vote.axis or "overall",
                item=f"{vote.item}\0{a}\0{b}",
                sample=vote.item,
                cluster=vote.prompt or vote.item,
                a=a,
                b=b,
                value=value,
            )
        )
    return found


def write_preferences(out: Path, preferences: Sequence[Preference], *, pseudonyms: bool) -> None:
    """Write every counted vote as preferences.jsonl and preferences.csv."""
    names = _rater_names([each.rater for each in preferences], pseudonyms)
    rows = [
        {
            "item": each.sample,
            "prompt": each.cluster if each.cluster != each.sample else "",
            "axis": each.axis,
            "system_a": each.a,
            "system_b": each.b,
            "vote": NAMES[float(each.value)],
            "rater": names[each.rater],
            "left": each.left,
            "index": each.index,
            "time_s": each.time_s,
            "tags": list(each.tags),
        }
        for each in preferences
    ]
    _write_rows(out / "preferences", rows)


def write_scores(out: Path, scores: Sequence[SystemScore], *, pseudonyms: bool) -> None:
    """Write every counted rating of a clip as clip_scores.jsonl and clip_scores.csv."""
    names = _rater_names([each.rater for each in scores], pseudonyms)
    _write_rows(
        out / "clip_scores",
        [
            {
                "item": each.sample,
                "axis": each.axis,
                "system": each.system,
                "score": each.value,
                "rater": names[each.rater],
                "tags": list(each.tags),
            }
            for each in scores
        ],
    )


def write_marks(out: Path, marks: Sequence[Mark], *, pseudonyms: bool) -> None:
    """Write every marked break as break_marks.jsonl and break_marks.csv."""
    names = _rater_names([each.rater for each in marks], pseudonyms)
    rows = [{**asdict(each), "rater": names[each.rater], "tags": []} for each in marks]
    _write_rows(out / "break_marks", rows)


def _write_rows(stem: Path, rows: list[dict]) -> None:
    if not rows:
        return
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    stem.with_suffix(".jsonl").write_text(lines, encoding="utf-8")
    with stem.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "tags": "; ".join(row["tags"])} for row in rows)


def _rater_names(raters: Sequence[str], pseudonyms: bool) -> dict[str, str]:
    known = dict.fromkeys(raters)
    return {name: name if pseudonyms else f"rater {number}" for number, name in enumerate(known, 1)}


def main(argv: list[str]) -> None:
    """Parse the command line and write the report."""
    config = from_command_line(ReportConfig, argv, __doc__)
    if config is None:
        return
    try:
        page = write_report(replace(config))
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error
    parts = (page.parent / "report.md").read_text(encoding="utf-8").split("\n### ")
    print("\n### ".join(parts[:2]).strip())
    print(f"report in {page}")


if __name__ == "__main__":
    sys.exit(run_command(main))
