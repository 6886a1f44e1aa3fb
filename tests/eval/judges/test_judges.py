"""Judges: a program and a server that score samples with reasons and compare systems, and bad answers."""

import base64
import io
import json
import re
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from eval import compare, judge
from eval.core.manifest import Sample, write_manifest
from eval.core.video import write_video
from eval.human.votes import read_votes
from eval.judges import client
from eval.judges.client import JudgeError, ProgramJudge, ServerJudge
from eval.judges.config import JudgeConfig
from eval.run import main
from src.core.errors import UserError

PROGRAM = """
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    number = int(request["id"])
    if request.get("task") == "compare":
        names = [request[side]["video"].split("/")[-2] for side in "ab"]
        better = names.index("a") if number < 3 else 0 if number == 3 else None
        answer = {"answer": "tie" if better is None else "ab"[better], "reason": f"{names}"}
    elif number == 4:
        sys.exit("out of memory")
    elif number == 5:
        answer = {"scores": {"physics": 7}}
    else:
        answer = {"scores": {"physics": number}, "reasons": {"physics": f"asked {request['question']}"}}
    print(json.dumps(answer), flush=True)
"""
PHYSICS = "judges.mine.scores.physics.high=5"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("judges")
    (root / "judge.py").write_text(PROGRAM)
    for system in ("a", "b"):
        for number in range(7):
            write_video(root / system / f"{number}.mp4", np.full((3, 16, 16, 3), 30 * number, np.uint8), 8)
        samples = [Sample(id=str(n), prompt=f"prompt {n}", video=f"{n}.mp4") for n in range(7)]
        write_manifest(root / system / "manifest.jsonl", samples)
    return root


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_program_scores_samples_and_each_failure_drops_one(folder: Path) -> None:
    words = [f"manifest={folder}/a/manifest.jsonl", "metrics=[]", "html_videos=7", "sheet_rows=0", PHYSICS,
             f"judges.mine.command=[{sys.executable},{folder}/judge.py]", "judges.mine.question=real?",
             "judges.mine.axis=alignment", "judges.mine.sub_axis=motion"]  # fmt: skip
    main([*words, f"out={folder}/scores/a"])
    records = {each["id"]: each for each in read(folder / "scores/a/results.jsonl")}
    assert [records[str(n)]["values"] for n in range(4)] == [{"physics_mine": float(n)} for n in range(4)]
    assert records["0"]["detail"]["reasons"] == {"physics": "asked real?"}
    assert records["4"]["dropped"] == "the program ended without an answer: out of memory"
    assert records["5"]["dropped"] == "score physics: expected 0 to 5, got 7"
    assert records["6"]["dropped"] == "score physics: expected 0 to 5, got 6"  # by a program started again
    (score,) = read(folder / "scores/a/scores.jsonl")
    assert (score["axis"], score["sub_axis"], score["mean"], score["num"]) == ("alignment", "motion", 1.5, 4)
    assert score["measured"]["question"] == "real?"
    assert "physics: asked real?" in (folder / "scores/a/report.html").read_text(encoding="utf-8")
    main([*words, f"out={folder}/scores/other", "judges.mine.version=2"])
    with pytest.raises(UserError, match="measured otherwise: version"):
        compare.main([f"runs=[{folder}/scores/a,{folder}/scores/other]", f"out={folder}/c", "html_samples=0"])


def test_two_systems_are_compared_in_both_orders(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"manifests=[{folder}/a/manifest.jsonl,{folder}/b/manifest.jsonl]", f"out={folder}/votes",
             f"judge.command=[{sys.executable},{folder}/judge.py]", "name=rule", "axis=motion"]  # fmt: skip
    judge.main(words)
    votes = read_votes(folder / "votes/votes.jsonl")
    assert [vote.vote for vote in votes] == ["a", "a", "a", "tie", "tie", "tie", "tie"]
    assert {(vote.system_a, vote.system_b, vote.rater, vote.axis) for vote in votes} == {
        ("a", "b", "rule", "motion")
    }
    shown = capsys.readouterr().out
    row = next(line for line in shown.splitlines() if line.startswith("| 7 |")).split("|")
    assert [cell.strip() for cell in (*row[1:5], row[6])] == [
        "7",
        "3",
        "4",
        "0",
        "1",
    ]  # sample 3: by the order
    assert row[5].strip().startswith("+42.9 [")
    answers = (folder / "votes/answers.jsonl").read_text(encoding="utf-8").splitlines()
    (folder / "votes/answers.jsonl").write_text("\n".join(answers[:5]) + "\n", encoding="utf-8")
    judge.main(words)  # resumes: only two are asked again
    assert (folder / "votes/answers.jsonl").read_text(encoding="utf-8").splitlines() == answers


def test_pairs_that_cannot_be_compared(folder: Path, tmp_path: Path) -> None:
    words = [f"judge.command=[{sys.executable},-c,pass]", f"out={tmp_path}/out"]
    both = f"{folder}/a/manifest.jsonl,{folder}/b/manifest.jsonl"
    with pytest.raises(UserError, match="no pair, first 0: the program ended without an answer: it wrote no"):
        judge.main([f"manifests=[{both}]", *words])
    write_manifest(folder / "b/other.jsonl", [Sample(id="0", prompt="another", video="0.mp4")])
    with pytest.raises(UserError, match="no sample with the same id and prompt"):
        judge.main([f"manifests=[{folder}/a/manifest.jsonl,{folder}/b/other.jsonl]", *words])
    with pytest.raises(UserError, match="manifests: expected two, got 1"):
        judge.main([f"manifests=[{folder}/a/manifest.jsonl]", *words])
    with pytest.raises(UserError, match="judge: give the judge's command or url"):
        judge.main([f"manifests=[{both}]", words[1]])


@pytest.fixture
def server() -> Iterator[tuple[str, list[dict[str, Any]], list[int]]]:
    """A server that answers with the mean of the first frame; the codes of its next answers can be set."""
    requests: list[dict[str, Any]] = []
    codes: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            code = codes.pop(0) if codes else 200
            frames = [
                np.asarray(Image.open(io.BytesIO(base64.b64decode(each)))) for each in requests[-1]["frames"]
            ]
            self.send_response(code)
            self.end_headers()
            scores = {"light": float(frames[0].mean()) / 255}
            self.wfile.write(json.dumps({"scores": scores, "reasons": f"{len(frames)} frames"}).encode())

        def log_message(self, *_: Any) -> None:
            pass

    http = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}/judge", requests, codes
    http.shutdown()
    thread.join()
    http.server_close()


def test_a_server_gets_frames_and_a_request_again_while_busy(
    folder: Path, tmp_path: Path, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, requests, codes = server
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.0)
    codes += [503, 429, 200, 400]
    settings = [f"judges.web.url={url}", "judges.web.scores.light.better=0", "judges.web.num_frames=2"]
    words = [f"manifest={folder}/a/manifest.jsonl", "metrics=[]", "html_videos=0", "sheet_rows=0"]
    main([*words, *settings, f"out={tmp_path}/out"])
    records = read(tmp_path / "out/results.jsonl")
    assert len(requests) == 9  # seven samples, and two more attempts at the first
    assert len(requests[0]["frames"]) == 2
    assert records[1]["dropped"] == "the server answers 400 Bad Request"
    assert [round(each["values"]["light_web"], 2) for each in records if each["values"]] == pytest.approx(
        [30 * n / 255 for n in (0, 2, 3, 4, 5, 6)], abs=0.02
    )
    assert records[0]["detail"]["why"] == "2 frames"
    (score,) = read(tmp_path / "out/scores.jsonl")
    assert score["unit"] == "fraction"


def test_a_server_that_is_away_and_other_bad_answers(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.0)
    with pytest.raises(JudgeError, match=r"the server does not answer: .*refused"):
        ServerJudge(JudgeConfig(url="http://127.0.0.1:9", num_retries=1)).ask({})
    for text, message in (
        ("no", "expected a JSON object, got 'no'"),
        ("[1]", r"expected a JSON object, got '\[1\]'"),
        ('{"error": "too dark"}', "the judge says: too dark"),
    ):
        with pytest.raises(JudgeError, match=message):
            client.parse_answer(text)
    slow = ProgramJudge(JudgeConfig(command=(sys.executable, "-c", "input(); input()"), timeout_s=0.2))
    with pytest.raises(JudgeError, match=r"no answer within 0\.2 s"):
        slow.ask({})
    with pytest.raises(JudgeError, match="no-such-program: No such file"):
        ProgramJudge(JudgeConfig(command=("no-such-program",))).ask({})
    for settings, message in (
        ({"command": ("x",), "url": "http://y"}, "give only one of them"),
        ({"url": "ftp://y"}, "expected http"),
        ({"sub_axis": "taste"}, "axis: expected one of"),
    ):
        with pytest.raises(ValueError, match=message):
            JudgeConfig(**settings)


def test_the_documented_program_runs(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[3] / "docs/judges.md").read_text(encoding="utf-8")
    found = re.search(r"```python\n(.*?)```", text, re.S)
    assert found is not None
    (tmp_path / "my_judge.py").write_text(found[1])
    program = ProgramJudge(JudgeConfig(command=(sys.executable, str(tmp_path / "my_judge.py"))))
    assert program.ask({"id": "a"})["scores"] == {"physics": 4}
    assert program.ask({"task": "compare"})["answer"] == "a"
    program.close()
