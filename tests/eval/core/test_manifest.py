import json
import time
from itertools import islice

import pytest

from eval.core.manifest import Sample, iter_manifest, read_manifest, resolve_media, write_manifest


def lines(tmp_path, *records):
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in records) + "\n")
    return path


def test_round_trip_keeps_every_field(tmp_path):
    (tmp_path / "a b.mp4").touch()
    samples = [
        Sample(
            id="1/ä", prompt="a / b\nc", system="x", seed=3, video="a b.mp4", facts={"n": [1]}, tags=("seen",)
        ),
        Sample(id="2", prompt="", rewritten="A star."),
    ]
    assert write_manifest(tmp_path / "m.jsonl", samples) == 2
    assert read_manifest(tmp_path / "m.jsonl") == samples
    assert not list(tmp_path.glob(".*partial"))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("{", r"manifest.jsonl:2: not JSON"),
        ("[1]", r":2: expected a JSON object, got list"),
        ({"id": "b", "prompt": "p", "vidoe": "x"}, r":2: unknown key 'vidoe'"),
        ({"id": 5, "prompt": "p"}, r":2: id: expected a string, got 5"),
        ({"id": "", "prompt": "p"}, r":2: id: must not be empty"),
        ({"id": "b"}, r":2: prompt: expected a string"),
        ({"id": "a", "prompt": "p"}, r":2: duplicate id 'a'"),
        ({"id": "b", "prompt": "p", "tags": "seen"}, r":2: tags: expected a list"),
        ({"id": "b", "prompt": "p", "facts": []}, r":2: facts: expected an object"),
        ({"id": "b", "prompt": "p", "rewritten": 1}, r":2: rewritten: expected a string"),
        ({"id": "b", "prompt": "p", "seed": "1"}, r":2: seed: expected an integer"),
        ({"id": "b", "prompt": "p", "seed": True}, r":2: seed: expected an integer or null, got True"),
        ('{"id": "b", "prompt": "p", "facts": ' + 100_000 * "[" + "}", r":2: not JSON"),
        ({"id": "b", "prompt": "p", "video": "no.mp4"}, r":2: video: no such file: 'no.mp4'"),
        ({"id": "b", "prompt": "p", "video": "../x.mp4"}, r":2: video: '../x.mp4' leaves the folder"),
        ({"id": "b", "prompt": "p", "audio": "/etc/passwd"}, r":2: audio: must be relative"),
        ({"id": "b", "prompt": "p", "image": 4}, r":2: image: expected a path"),
    ],
)
def test_a_bad_line_is_named(tmp_path, record, message):
    path = lines(tmp_path, {"id": "a", "prompt": "p"}, record)
    with pytest.raises(ValueError, match=message) as error:
        read_manifest(path)
    assert "\n" not in str(error.value)


def test_not_utf8_empty_and_absent(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'{"id": "a", "prompt": "\xff"}\n')
    with pytest.raises(ValueError, match=r"m.jsonl:1: not UTF-8"):
        read_manifest(path)
    path.write_bytes(b"\xef\xbb\xbf" + b'{"id": "a", "prompt": "p"}\n')  # a byte order mark
    assert read_manifest(path) == [Sample(id="a", prompt="p")]
    path.write_text("\n\n")
    with pytest.raises(ValueError, match="the manifest is empty"):
        read_manifest(path)
    with pytest.raises(ValueError, match="no such file"):
        read_manifest(tmp_path / "none.jsonl")


def test_a_link_is_followed_once(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "in" / "link").symlink_to("../file")
    (tmp_path / "in" / "twice").symlink_to("link")
    assert resolve_media(tmp_path / "in", "link", "video") == tmp_path / "file"
    with pytest.raises(ValueError, match="video: links are followed once"):
        resolve_media(tmp_path / "in", "twice", "video")


def test_the_same_id_in_two_systems_is_two_samples(tmp_path):
    path = lines(
        tmp_path, {"id": "a", "prompt": "p", "system": "x"}, {"id": "a", "prompt": "p", "system": "y"}
    )
    assert [s.system for s in iter_manifest(path)] == ["x", "y"]


def test_writing_refuses_what_reading_would(tmp_path):
    for bad in ([Sample(id="a", prompt="")] * 2, [Sample(id="a", prompt="", video="../a.mp4")]):
        with pytest.raises(ValueError, match=r"duplicate|leaves"):
            write_manifest(tmp_path / "m.jsonl", bad)
    assert not list(tmp_path.iterdir())


def test_large_manifests_stream(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text("".join(f'{{"id": "{i}", "prompt": "p", "video": "v/{i}.mp4"}}\n' for i in range(20_000)))
    samples = iter_manifest(path, check_files=False)
    assert next(samples).id == "0"
    with path.open("a") as out:  # what had read all of it before would not see this
        out.write('{"id": "late", "prompt": "p"}\n')
    assert sum(1 for _ in islice(samples, 19_999)) == 19_999
    assert next(samples).id == "late"


@pytest.mark.slow
def test_a_manifest_of_a_million_lines(tmp_path):
    path = tmp_path / "m.jsonl"
    with path.open("w") as out:
        for i in range(1_000_000):
            out.write(f'{{"id": "{i}", "prompt": "p", "video": "v/{i}.mp4"}}\n')
        out.write('{"id": "999999", "prompt": "p"}\n')
    samples = iter_manifest(path, check_files=False)
    start = time.process_time()
    assert sum(len(sample.id) > 0 for sample in islice(samples, 1_000_000)) == 1_000_000
    assert time.process_time() - start < 60  # asking the disk for every line takes minutes
    with pytest.raises(ValueError, match=r"m.jsonl:1000001: duplicate id '999999'"):
        next(samples)
