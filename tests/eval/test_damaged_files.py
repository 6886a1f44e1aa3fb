"""Files that break off or name other files, through the command line: dropped with the reason."""

import json

import pytest

from eval.run import main
from tests.fixtures.odd_media import ffmpeg, plain


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    root = tmp_path_factory.mktemp("damaged")
    (root / "videos").mkdir()
    source = plain(root / "videos" / "complete.mp4")
    vp9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", 8, "-c:a", "libopus")
    complete = {
        "half.webm": vp9,
        "half.mkv": ("-c:v", "libx264", "-g", 4, "-c:a", "copy"),
        "fragments.mp4": ("-c", "copy", "-movflags", "frag_keyframe+empty_moov"),
    }
    for name, options in complete.items():
        ffmpeg("-i", source, *options, root / name)
        data = (root / name).read_bytes()
        (root / "videos" / name).write_bytes(data[: len(data) // 2])
    (root / "videos" / "list.m3u8").write_text(f"#EXTM3U\n#EXTINF:2,\n{source}\n#EXT-X-ENDLIST\n")
    names = [*complete, "list.m3u8", "complete.mp4"]
    lines = [json.dumps({"id": name, "prompt": "", "video": name}) + "\n" for name in names]
    (root / "videos" / "manifest.jsonl").write_text("".join(lines))
    argv = [f"manifest={root}/videos/manifest.jsonl", f"out={root}/out", "metrics=[low_level,audio]"]
    main([*argv, "sheet_rows=0", "html_videos=0"])
    found = [json.loads(line) for line in (root / "out" / "results.jsonl").read_text().splitlines()]
    return {(each["id"], each["metric"]): each for each in found}


@pytest.mark.parametrize("name", ["half.webm", "half.mkv", "fragments.mp4"])
def test_a_file_cut_at_half_is_not_measured_as_complete(records, name):
    for metric in ("low_level", "audio"):
        each = records[name, metric]
        assert each["values"] is None
        assert name in each["dropped"]
        assert any(word in each["dropped"] for word in ("truncated", "damaged", "no audio samples")), each[
            "dropped"
        ]


def test_a_playlist_is_refused(records):
    for metric in ("low_level", "audio"):
        assert records["list.m3u8", metric]["values"] is None
        assert "list.m3u8" in records["list.m3u8", metric]["dropped"]


def test_the_others_are_measured(records):
    assert records["complete.mp4", "low_level"]["dropped"] is None
    assert records["complete.mp4", "audio"]["values"]["lufs"] < 0
