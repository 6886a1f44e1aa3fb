import av
import numpy as np
from PIL import Image

from data.bounce.preview import main
from src.core import cli


def test_contact_sheet(tmp_path):
    out = tmp_path / "a" / "bounce.png"
    main([str(out), "num_videos=3", "size=32", "columns=4"])
    sheet = np.asarray(Image.open(out))
    assert sheet.shape[1] == 4 + 4 * (96 + 4)
    assert sheet.shape[0] > 3 * 96
    assert sheet.std() > 30


def test_video_has_images_and_audio_of_one_length(tmp_path):
    out = tmp_path / "bounce.mp4"
    main([str(out), "num_videos=2", "size=48", "seconds=1", "world.bounce_prob=1", "world.still_prob=0"])
    with av.open(str(out)) as container:
        assert {s.type for s in container.streams} == {"video", "audio"}
        frames = sum(1 for _ in container.decode(video=0))
    with av.open(str(out)) as container:
        samples = np.concatenate([f.to_ndarray() for f in container.decode(audio=0)], axis=1)
    assert frames == 32
    assert abs(samples.shape[1] - 2 * 48_000) < 4096
    assert np.abs(samples).max() > 0.1


def test_mistakes_are_named(capsys):
    assert cli.run(main, ["out=video.gif"]) == 2
    assert "video.gif" in capsys.readouterr().err
    assert cli.run(main, ["num_videos=0"]) == 2
    assert "num_videos must be at least 1, got 0" in capsys.readouterr().err
