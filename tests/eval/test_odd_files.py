"""Media of phones, editors and cameras through the command line: measured as they are seen and heard."""

import json
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from eval.run import main
from tests.fixtures.odd_media import X264, encode, ffmpeg, numbered, plain

METRICS = ("fidelity", "audio", "onsets")


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    root = tmp_path_factory.mktemp("odd")
    source = plain(root / "plain.mp4")
    ffmpeg("-display_rotation", 90, "-i", source, "-c", "copy", root / "turned.mp4")
    ffmpeg("-i", root / "turned.mp4", *X264, "-qp", 0, root / "baked.mp4")
    ffmpeg("-i", source, "-c:v", "ffv1", "-pix_fmt", "yuv420p10le", root / "deep.mkv")
    ffmpeg("-i", source, "-c", "copy", "-movflags", "frag_keyframe+empty_moov", root / "fragments.mp4")
    late = ("-i", source, "-itsoffset", 0.3, "-i", source, "-map", "0:v", "-map", "1:a", "-c", "copy")
    ffmpeg(*late, root / "late.mov")
    surround = "pan=5.1|FL=c0|FR=c0|FC=c0|LFE=0*c0|BL=0*c0|BR=0*c0"
    ffmpeg("-i", source, "-c:v", "copy", "-af", surround, "-c:a", "pcm_s16le", root / "surround.mov")
    milliseconds = [62 * i + (3_600_000 if i >= 8 else 0) for i in range(16)]
    encode(root / "jump.mkv", numbered(16), 16, pts=milliseconds, time_base=Fraction(1, 1000))
    halves = np.zeros((48, 64, 3), np.uint8)
    halves[:, :32] = (230, 20, 20)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(halves)).save(root / "phone.png", exif=exif)
    Image.fromarray(halves).save(root / "upright.png")
    references = {
        "turned.mp4": "baked.mp4", "deep.mkv": "plain.mp4", "fragments.mp4": "plain.mp4",
        "late.mov": "plain.mp4", "surround.mov": "plain.mp4", "jump.mkv": "jump.mkv",
    }  # fmt: skip
    rows = [
        {"id": name, "prompt": "", "video": name, "reference": other} for name, other in references.items()
    ]
    rows.append({"id": "phone.png", "prompt": "", "image": "phone.png", "reference": "upright.png"})
    (root / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    metrics = f"metrics=[{','.join(METRICS)}]"
    main([f"manifest={root}/manifest.jsonl", f"out={root}/out", metrics, "sheet_rows=0", "html_videos=0"])
    found = [json.loads(line) for line in (root / "out" / "results.jsonl").read_text().splitlines()]
    return {(each["id"], each["metric"]): each for each in found}


@pytest.mark.parametrize("name", ["turned.mp4", "deep.mkv", "fragments.mp4", "phone.png"])
def test_what_looks_alike_measures_alike(records, name):
    assert records[name, "fidelity"]["dropped"] is None
    assert records[name, "fidelity"]["values"]["psnr"] > (40 if name == "turned.mp4" else 99)


def test_audio_is_measured_on_the_clock_of_its_video(records):
    shifts = {
        name: records[name, "onsets"]["values"]["onset_shift"] for name in ("fragments.mp4", "late.mov")
    }
    assert shifts["fragments.mp4"] == pytest.approx(0, abs=0.02)
    assert shifts["late.mov"] == pytest.approx(0.3, abs=0.03)


def test_the_channels_of_surround_count_as_the_standard_has_it(records):
    one, three = (records[name, "audio"]["values"]["lufs"] for name in ("fragments.mp4", "surround.mov"))
    assert three - one == pytest.approx(10 * np.log10(3), abs=0.3)


def test_a_jump_of_the_clock_is_no_frozen_hour(records):
    assert records["jump.mkv", "fidelity"]["values"] is None
    assert "clock jump: from 0.434 s to 3600.496 s" in records["jump.mkv", "fidelity"]["dropped"]
