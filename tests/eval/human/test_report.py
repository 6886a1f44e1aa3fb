"""Report, simulation and exchange through the command line."""

import csv
import json
import re
import shutil
from collections import defaultdict
from pathlib import Path

import pytest

from eval.human.__main__ import main
from eval.human.agreement import main as agreement
from eval.human.formats.rows import majority as most_votes
from eval.human.simulate import RaterPopulation, SimulatedRater
from eval.human.study import Study, read_votes_file
from eval.human.votes import VOTE_VALUES, read_votes
from src.core.errors import UserError
from tests.eval.human.test_agreement import run_folder
from tests.fixtures.planned_study import plan_without_media

STRENGTHS = {"ours": 1.2, "base": 0.0, "other": -1.2}
POPULATION = RaterPopulation(strengths=STRENGTHS, careless_fraction=0.2)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("report") / "study"
    planned = plan_without_media(
        folder,
        num_prompts=40,
        systems=("ours", "base", "other"),
        axes=("visual_overall", "realness", "visual_rating"),
        tasks_per_slot=60,
    )
    values = ", ".join(f"{name}: {value}" for name, value in STRENGTHS.items())
    main(["simulate", str(folder), f"population.strengths={{{values}}}", "population.careless_fraction=0.2"])
    main(["report", str(folder)])
    return planned


def rows(study: Study, name: str) -> list[dict[str, str]]:
    with (study.folder / "report" / f"{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_known_preferences_are_recovered(study: Study) -> None:
    net = {(row["axis"], row["A"], row["B"]): row for row in rows(study, "net_wins")}
    assert len(net) == 6
    for (_, a, b), row in net.items():
        assert (a, b) in {("ours", "base"), ("ours", "other"), ("base", "other")}
        assert float(row["net win rate low"]) > 0
    far = float(net["visual_overall", "ours", "other"]["net win rate"])
    assert far > float(net["visual_overall", "ours", "base"]["net win rate"])
    strengths = {(row["axis"], row["system"]): float(row["strength"]) for row in rows(study, "strengths")}
    assert strengths["realness", "ours"] > strengths["realness", "base"] > strengths["realness", "other"]
    scores = {row["system"]: float(row["mean"]) for row in rows(study, "scores")}
    assert scores["ours"] > scores["base"] > scores["other"]


def test_careless_raters_are_excluded_and_counted(study: Study) -> None:
    raters = [row["rater"] for row in rows(study, "raters")]
    careless = {name for name in raters if SimulatedRater(name, POPULATION, 0).is_careless}
    counted = {row["rater"] for row in rows(study, "preferences")}
    assert careless
    assert not careless & counted
    assert len(counted) >= 0.85 * (len(raters) - len(careless))
    counts = {row["rule"]: int(row["votes"]) for row in rows(study, "exclusion")}
    votes = read_votes_file(study.folder / "votes.jsonl")
    assert sum(counts.values()) == sum(study.items[vote.item].kind == "pair" for vote in votes)


def test_the_report_is_complete(study: Study) -> None:
    out = study.folder / "report"
    text = (out / "report.md").read_text(encoding="utf-8")
    assert study.plan.hash[:12] in text
    for part in ("Net win rates", "by tag", "Scores", "Strengths", "Agreement", "Exclusion", "Halo"):
        assert part in text
    assert "motion: high" in (out / "slices.csv").read_text()
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("<video") == 2 * 24
    assert page.count("<svg") >= 3
    assert not re.search(r"(src|href)=[\"']https?:", page)
    methods = (out / "methods.tex").read_text(encoding="utf-8")
    assert "40 prompts and 3 axes" in methods
    assert study.plan.hash[:16] in methods
    cited = set(re.findall(r"\\cite\{(\w+)\}", methods))
    assert cited <= set(re.findall(r"@\w+\{(\w+),", (out / "references.bib").read_text(encoding="utf-8")))
    assert "\\toprule" in (out / "net_wins.tex").read_text(encoding="utf-8")


def test_raw_votes_are_what_agreement_reads(study: Study) -> None:
    votes = read_votes(study.folder / "report" / "preferences.jsonl")
    assert {vote.axis for vote in votes} == {"visual_overall", "realness"}
    assert {vote.item for vote in votes} == {f"p{i}" for i in range(40)}
    assert all(vote.rater.startswith("r_") for vote in votes)


def test_each_metric_has_its_agreement_with_a_study_in_one_command(study: Study, tmp_path: Path) -> None:
    truth = {name: {f"p{i}": value for i in range(40)} for name, value in STRENGTHS.items()}
    run_folder(tmp_path / "scores", truth, {"subject": 1, "bad": -1, "count": 0})
    votes = study.folder / "report" / "preferences.jsonl"
    agreement([f"votes={votes}", f"runs=[{tmp_path / 'scores'}]", f"out={tmp_path / 'out'}"])
    with (tmp_path / "out" / "agreement.csv").open(encoding="utf-8") as file:
        found = {(row["question"], row["score"], row["measure"]): row for row in csv.DictReader(file)}
    for axis in ("visual_overall", "realness"):
        assert float(found[axis, "subject", "kendall_systems"]["value"]) == 1
        assert float(found[axis, "subject", "pairwise_accuracy"]["low"]) > 0.5


def net_wins(votes: list, *, majority: bool = False, axes: bool = True) -> dict[tuple[str, ...], float]:
    """Return the sum of votes for a pair's first system by name, optionally of each item's majority."""
    items = defaultdict[tuple[str, ...], list[float]](list)
    for vote in votes:
        a, b = sorted((vote.system_a, vote.system_b))
        sign = 1 if a == vote.system_a else -1
        item = vote.item if majority else ""
        items[vote.axis if axes else "", a, b, item].append(sign * VOTE_VALUES[vote.vote])
    found = defaultdict[tuple[str, ...], float](float)
    for (axis, a, b, _), values in items.items():
        found[axis, a, b] += most_votes(values) if majority else sum(values)
    return dict(found)


def test_a_report_from_votes_alone_and_other_formats(study: Study, tmp_path: Path) -> None:
    source = study.folder / "report" / "preferences.jsonl"
    expected = {
        (row["axis"], row["A"], row["B"]): float(row["net win rate"]) for row in rows(study, "net_wins")
    }
    for name, suffix in (
        ("genai_bench", ".csv"),
        ("battles", ".jsonl"),
        ("vbench", ""),
        ("paper", ".csv"),
    ):
        there, back = tmp_path / f"{name}{suffix}", tmp_path / f"{name}_back.jsonl"
        main(["exchange", f"source={source}", f"target={there}", f"target_format={name}"])
        main(["exchange", f"source={there}", f"target={back}"])
        assert net_wins(read_votes(back), axes=name != "genai_bench") == pytest.approx(
            net_wins(read_votes(source), majority=name in ("vbench", "paper"), axes=name != "genai_bench")
        )
    paper = {
        (row["axis"], row["system_a"], row["system_b"]): float(row["net_win_rate"])
        for row in csv.DictReader((tmp_path / "paper.csv").read_text().splitlines())
    }
    for (axis, a, b), value in expected.items():
        signed = paper[axis, a, b] if (axis, a, b) in paper else -paper[axis, b, a]
        assert signed == pytest.approx(value, abs=0.01)
    main(["report", f"votes={tmp_path / 'paper_back.jsonl'}", f"out={tmp_path / 'out'}"])
    assert (tmp_path / "out" / "net_wins.csv").is_file()


def test_formats_of_others_are_recognized(tmp_path: Path) -> None:
    genai = tmp_path / "g.jsonl"
    row = {
        "prompt": "p",
        "left_model": "x",
        "left_video": "u",
        "right_model": "y",
        "right_video": "v",
        "uid": 1,
    }
    genai.write_text(json.dumps({**row, "vote_type": "bothbad_vote"}) + "\n")
    main(["exchange", f"source={genai}", f"target={tmp_path / 'g_out.jsonl'}"])
    assert [v.vote for v in read_votes(tmp_path / "g_out.jsonl")] == ["tie"]
    battles = tmp_path / "b.json"
    battles.write_text(
        json.dumps([{"model_a": "x", "model_b": "y", "winner": "model_b", "judge": "j", "tstamp": 1}])
    )
    main(["exchange", f"source={battles}", f"target={tmp_path / 'b_out.jsonl'}"])
    assert [(v.vote, v.rater) for v in read_votes(tmp_path / "b_out.jsonl")] == [("b", "j")]
    labels = tmp_path / "subject_consistency.json"  # as VBench publishes them, with both orders of a pair
    table = {"lavie": {"modelscope": 1, "cogvideo": 0.5}, "modelscope": {"lavie": 0}}
    entry = {"prompt_en": "a cat", "question_en": "?", "videos": {"lavie": "u"}, "human_anno": table}
    labels.write_text(json.dumps([entry]))
    main(["exchange", f"source={labels}", f"target={tmp_path / 'l_out.jsonl'}"])
    found = [(v.axis, v.item, v.system_a, v.system_b, v.vote) for v in read_votes(tmp_path / "l_out.jsonl")]
    first = ("subject_consistency", "a cat", "lavie")
    assert found == [(*first, "modelscope", "a"), (*first, "cogvideo", "tie")]
    for wrong, message in (({"modelscope": {"lavie": 1}}, "disagree"), ({"x": {"y": 2}}, "0, 0.5 or 1")):
        labels.write_text(json.dumps([{**entry, "human_anno": table | wrong}]))
        with pytest.raises(UserError, match=message):
            main(["exchange", f"source={labels}", f"target={tmp_path / 'never'}"])
    for text, message in (
        ('{"model_a": "x", "model_b": "y", "winner": "z"}\n', "winner: expected one of"),
        ('{"a": 1}\n', "of none of the formats"),
        ('{"model_a": "x"\n', "1: not JSON"),
        ("", "contains no votes"),
    ):
        (tmp_path / "bad.jsonl").write_text(text)
        with pytest.raises(UserError, match=message):
            main(["exchange", f"source={tmp_path / 'bad.jsonl'}", f"target={tmp_path / 'never'}"])
    with pytest.raises(UserError, match="nothing is overwritten"):
        main(["exchange", f"source={genai}", f"target={battles}"])


def test_broken_votes_are_one_line(study: Study, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(study.folder, copy)
    votes = copy / "votes.jsonl"
    lines = votes.read_text().splitlines()
    number = len(lines)

    def refused(text: str, message: str) -> None:
        votes.write_text(text)
        with pytest.raises(UserError, match=message):
            main(["report", str(copy)])
        assert votes.read_text() == text  # nothing is lost or rewritten

    refused(
        "\n".join(lines)[:-30],
        rf"votes.jsonl:{number}: not JSON \(half a line.*the {number - 1} lines before",
    )
    refused("\n".join([*lines, lines[0]]) + "\n", rf":{number + 1}: second vote of rater r_00000000")
    stranger = {**json.loads(lines[0]), "item": "0" * 16}
    refused(json.dumps(stranger) + "\n", "does not contain; is it of another study")
    flipped = json.loads(lines[0])
    refused(json.dumps({**flipped, "order": flipped["order"][::-1]}) + "\n", "saw the sides")
    refused(json.dumps({**flipped, "mood": 1}) + "\n", "unknown key 'mood'")
    refused("", "there are no votes on compared items yet")
    (copy / "votes.jsonl").unlink()
    with pytest.raises(UserError, match="has no votes yet"):
        main(["report", str(copy)])
    with pytest.raises(UserError, match="name a study's folder"):
        main(["report"])
