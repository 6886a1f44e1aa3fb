"""Attacks by strangers: links, paths, other sites, markup in texts, large requests, passwords."""

import json
import logging
import random
import re
from html.parser import HTMLParser

import pytest

from eval.human.server import media, raters, tokens
from eval.human.server.pages import TEMPLATES
from eval.human.server.security import MAX_BODY_BYTES, MAX_UPLOAD_BYTES
from eval.human.server.status import study_status
from eval.human.server.tables import Rater
from eval.human.study import load_study
from tests.fixtures.human_study import write_study
from tests.fixtures.study_client import PASSWORD, StudyApp

MARKUP = r"""
<script>alert(1)</script>
"><img src=x onerror=alert(1)>
javascript:alert(1)
{{7*7}}
${7*7}
'
"
<svg/onload=alert(1)>
]]>
<!--
-->
</textarea>
</title>
&lt;
%3Cscript%3E
`
\
<iframe srcdoc='<script>'>
<a href="data:text/html,x">
<style>@import'x'</style>
{done}
on=
"""
PIECES = [*MARKUP.strip().splitlines(), "\u2028", "\u202e", "\U0001f600", "\x00", "\r\n"]


def test_links_are_long_random_and_kept_as_hashes(app: StudyApp) -> None:
    drawn = [tokens.new_token() for _ in range(2000)]
    assert len(set(drawn)) == 2000
    assert all(len(token) == 32 and re.fullmatch(r"[\w-]+", token) for token in drawn)
    assert len({token[:4] for token in drawn}) > 1990  # no common beginning
    token = app.token()
    content = b"".join(path.read_bytes() for path in app.study.folder.glob("study.db*"))
    assert token.encode() not in content
    assert tokens.hash_token(token).encode() in content


def test_a_revoked_link_and_its_cookies_are_useless(app: StudyApp) -> None:
    token = app.token()
    rater = app.rater(token)
    rater.begin()
    with app.database.write() as session:
        raters.revoke_link(session, session.query(Rater).one())
    assert rater.post("state").status_code == 401
    assert rater.client.get("/media/0/0").status_code == 401
    assert app.client().post("/api/join", json={"token": token}).status_code == 404


def test_unknown_links_are_limited_by_address(app: StudyApp) -> None:
    client = app.client()
    statuses = [client.post("/api/join", json={"token": f"guess{n}"}).status_code for n in range(10)]
    assert statuses == [404] * 8 + [429] * 2
    assert client.post("/api/join", json={"token": app.token()}).status_code == 429
    app.clock.now += 16 * 60
    assert client.post("/api/join", json={"token": "x"}).status_code == 404


def test_the_password_is_limited_in_rate(app: StudyApp) -> None:
    client = app.client()
    statuses = [client.post("/organizer/login", data={"password": "x"}).status_code for _ in range(10)]
    assert statuses == [403] * 8 + [429] * 2
    assert client.post("/organizer/login", data={"password": PASSWORD}).status_code == 429
    app.clock.now += 16 * 60
    assert client.post("/organizer/login", data={"password": PASSWORD}).url.path == "/organizer"


ORGANIZERS = ("", "/status", "/votes.jsonl", "/raters.jsonl", "/payments.csv")


@pytest.mark.parametrize("path", ORGANIZERS)
def test_the_organizers_pages_need_the_password(app: StudyApp, path: str) -> None:
    rater = app.rater()
    response = rater.client.get(f"/organizer{path}", follow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (303, "/organizer/login")
    # a rater's cookie is not an organizer's
    rater.client.cookies.set("organizer", rater.client.cookies["rater"])
    assert rater.client.get(f"/organizer{path}", follow_redirects=False).status_code == 303


def test_other_sites_change_nothing(app: StudyApp) -> None:
    rater, organizer = app.rater(), app.organizer()
    for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        assert rater.client.post("/api/consent", json={}, headers=headers).status_code == 403
        form = organizer.post("/organizer/state", data={"state": "closed"}, headers=headers)
        assert form.status_code == 403
    assert (
        organizer.post("/organizer/state", data={"state": "closed"}).status_code == 403
    )  # no token of the form
    assert organizer.post("/organizer/state", data={"state": "closed", "csrf": "x"}).status_code == 403
    assert (
        rater.client.post("/api/consent", content="{}").status_code == 415
    )  # what a form of another site can send
    assert (
        rater.client.post("/api/consent", json={}, headers={"origin": "http://testserver"}).status_code == 200
    )
    assert "State: <strong>open" in organizer.get("/organizer").text


def test_cookies_are_strict_and_secure_over_https(written_study, tmp_path) -> None:
    app = StudyApp(
        written_study, f"sqlite:///{tmp_path / 'votes.db'}", secure=True, public_url="https://testserver"
    )
    joined = app.client().post("/api/join", json={"token": app.token()})
    login = app.client().post("/organizer/login", data={"password": PASSWORD}, follow_redirects=False)
    for response in (joined, login):
        cookie = response.headers["set-cookie"].lower()
        assert all(word in cookie for word in ("httponly", "samesite=strict", "secure"))
        assert "max-age" in response.headers["strict-transport-security"]
    app.close()


def test_every_page_forbids_inline_scripts_and_frames(app: StudyApp) -> None:
    client, organizer = app.client(), app.organizer()
    pages = [
        client.get(path) for path in ("/", "/join", "/privacy", "/organizer/login", "/mturk", "/nothing")
    ]
    pages.append(organizer.get("/organizer"))
    for page in pages:
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert not re.search(r"<script(?![^>]* src=)|\son\w+=|\sstyle=|javascript:", page.text)


def test_requests_are_limited_in_size(app: StudyApp) -> None:
    rater, organizer = app.rater(), app.organizer()
    task = rater.begin()["task"]
    assert rater.vote(task, comment="x" * MAX_BODY_BYTES).status_code == 413

    def chunks():  # without a length
        for _ in range(MAX_BODY_BYTES // 1000 + 2):
            yield b" " * 1000

    headers = {"content-type": "application/json"}
    assert rater.client.post("/api/vote", content=chunks(), headers=headers).status_code == 413
    upload = {"file": ("a.csv", b"x" * MAX_UPLOAD_BYTES)}
    assert organizer.post("/organizer/upload", data={"csrf": "x"}, files=upload).status_code == 413
    assert rater.vote(task, comment="x" * 5000).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/media/0/../../study.db", "/media/0/..%2f..%2fstudy.db", "/media/0/%2e%2e%2fstudy.yaml"),
        *("/media/../study.yaml", "/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/app.py"),
        *("/static//etc/passwd", "/media/0/moverall00.mp4", "/media/0/2", "/media/0/-1", "/media/-1/0"),
        *("/media/99999999999999999999/0", "/media/0/source", "/media/0/systems", "/media/0/\u0663"),
        *("/study.db", "/media/0/0%00", "/static/style.css%00.js"),
    ],
)
def test_no_other_file_can_be_addressed(app: StudyApp, path: str) -> None:
    rater = app.rater()
    rater.begin()
    response = rater.client.get(path)
    assert response.status_code in (400, 404), path
    assert len(response.content) < 200


def test_media_of_another_rater_are_not_there(app: StudyApp) -> None:
    first, second = app.rater(), app.rater()
    first.begin(), second.begin()
    assert first.client.get("/media/3/0").content != second.client.get("/media/3/0").content
    assert first.client.get("/media/3/0").content == second.client.get("/media/3/1").content  # sides swapped
    assert app.client().get("/media/3/0").status_code == 401


@pytest.mark.parametrize("small_bytes", [media.SMALL_BYTES, 0])
def test_ranges_stay_inside_the_file(
    app: StudyApp, small_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "SMALL_BYTES", small_bytes)
    rater = app.rater()
    rater.begin()
    complete = rater.client.get("/media/3/0").content

    def get(value: str):
        return rater.client.get("/media/3/0", headers={"range": value})

    assert (get("bytes=0-9").content, get("bytes=0-9").status_code) == (complete[:10], 206)
    assert get("bytes=-10").content == complete[-10:]
    assert get(f"bytes=5-{10 * len(complete)}").content == complete[5:]
    assert get(f"bytes={len(complete)}-").status_code == 416
    assert get("bytes=9-1").status_code == 400
    several = get("bytes=0-3,10-13").content
    assert complete[:4] in several
    assert complete[10:14] in several


def test_no_token_reaches_a_log(app: StudyApp, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = app.token()
    rater = app.rater(token)
    rater.finish()
    cookie = rater.client.cookies["rater"]
    app.client().post("/api/join", json={"token": "unknown" + token})
    text = caplog.text + json.dumps([record.__dict__ for record in caplog.records], default=str)
    text = "\n".join(line for line in text.splitlines() if "httpx" not in line)
    assert token not in text
    assert cookie not in text


class Elements(HTMLParser):
    """Counts elements and collects attributes that run code."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.running: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.running += [f"{tag} {name}" for name, value in attrs if name.startswith("on")]
        urls = [(name, value or "") for name, value in attrs if name in ("href", "src", "action", "data")]
        self.running += [
            f"{tag} {name}" for name, value in urls if "script:" in value or "data:text" in value
        ]


def elements_of(page: str) -> Elements:
    parser = Elements()
    parser.feed(page)
    return parser


def fuzzed_strings(number: int) -> list[str]:
    """Return strings put together from pieces of attacks, the same ones each time."""
    random_order = random.Random(7)
    return ["".join(random_order.choices(PIECES, k=random_order.randint(1, 5))) for _ in range(number)]


BATCH = 250


def test_ten_thousand_hostile_texts_stay_text_on_every_server_page(app: StudyApp) -> None:
    """Titles, axis names, consent texts and ids pass through templates; pages of raters only through JSON."""
    with app.database.read() as session:
        figures = study_status(session, app.study, app.clock())
    numbers = {"done": 0, "total": 1, "median_s": None, "gold_failed": 0, "gold": 0, "num_takeovers": 0}
    plain: dict[str, list[str]] = {}
    texts = fuzzed_strings(10_000)
    for batch in [["plain"] * BATCH] + [texts[at : at + BATCH] for at in range(0, len(texts), BATCH)]:
        fields = ("rater", "status", "platform", "slot", "seen_at")
        people = [
            dict.fromkeys(fields, text)
            | numbers
            | {"has_link": True, "lease_minutes": None, "reserved": True}
            for text in batch
        ]
        axes = [figures["axes"][0] | {"axis": text} for text in batch]
        values = {"title": batch[0], "language": "en", "strings": app.context.strings["en"], "csrf": batch[0]}
        pages = {
            "figures.html": {"status_of": figures | {"axes": axes, "raters": people}},
            "privacy.html": {"paragraphs": batch, "contact": batch[0]},
        }
        for name, extra in pages.items():
            found = elements_of(TEMPLATES.get_template(name).render(**values, **extra))
            assert found.running == []
            assert plain.setdefault(name, found.tags) == found.tags


def test_hostile_prompts_travel_as_json(tmp_path) -> None:
    for number, text in enumerate(fuzzed_strings(3)):
        study = write_study(
            tmp_path / str(number), num_prompts=1, num_slots=1, prompt=text.replace("\x00", "")
        )
        app = StudyApp(load_study(study.folder))
        rater = app.rater()
        response = rater.post("state", client="c", take=True)
        assert response.headers["content-type"] == "application/json"
        assert rater.begin()["task"]["shown"]["prompt"] == study.items["ioverall0"].shown["prompt"]
        app.close()


def test_cells_of_a_csv_are_no_formulas(app: StudyApp) -> None:
    client = app.client()
    client.get("/prolific?PROLIFIC_PID==cmd()&STUDY_ID=s&SESSION_ID=t")
    with app.database.write() as session:
        session.query(Rater).one().status = "finished"
    assert "'=cmd()" in app.organizer().get("/organizer/payments.csv").text
