import numpy as np
import pytest
from PIL import Image

from eval.core.video import DecodeError, codec_round_trip, encode_video, read_video, write_video


def gradient(num=6, height=16, width=24):
    t, y, x = np.mgrid[:num, :height, :width]
    return np.stack([20 * t + 4 * y, 8 * x, 100 + 0 * x], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("fps", [16, 24, 30000 / 1001])
def test_write_and_read(tmp_path, fps):
    frames = gradient()
    write_video(tmp_path / "sub" / "a.mp4", frames, fps, crf=4)
    video = read_video(tmp_path / "sub" / "a.mp4")
    assert video.frames_THWC.shape == frames.shape
    assert video.frames_THWC.dtype == np.uint8
    assert video.fps == pytest.approx(fps, abs=1e-6)
    assert np.abs(video.frames_THWC.astype(int) - frames).mean() < 4


def test_same_frames_same_bytes_and_max_frames(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, gradient(), 16)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert len(read_video(tmp_path / "a.mp4", max_frames=2).frames_THWC) == 2


@pytest.mark.parametrize("size", [(1, 1), (15, 17), (2, 3)])
def test_odd_sizes(size):
    frames = np.full((3, *size, 3), 90, np.uint8)
    back = codec_round_trip(frames, 16, crf=18)
    assert back.shape == frames.shape
    assert np.abs(back.astype(int) - 90).max() < 8


def test_a_still_image_is_a_video_of_one_frame(tmp_path):
    Image.fromarray(gradient()[0]).save(tmp_path / "a.png")
    video = read_video(tmp_path / "a.png")
    assert np.array_equal(video.frames_THWC, gradient()[:1])
    assert video.fps == 0.0


def test_what_cannot_be_read_is_reported_in_one_line(tmp_path):
    (tmp_path / "text.mp4").write_text("no frames")
    (tmp_path / "empty.mp4").touch()
    write_video(tmp_path / "good.mp4", gradient(24, 64, 64), 16)
    data = (tmp_path / "good.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 2 // 3])
    for name in ("text.mp4", "empty.mp4", "cut.mp4", "absent.mp4"):
        with pytest.raises(DecodeError, match=name) as error:
            read_video(tmp_path / name)
        assert "\n" not in str(error.value)


def test_audio_only_and_bad_arguments(tmp_path):
    import soundfile

    soundfile.write(tmp_path / "a.wav", np.zeros(4800, np.float32), 48000)
    with pytest.raises(DecodeError, match=r"a\.wav: audio only: no video stream"):
        read_video(tmp_path / "a.wav")
    with pytest.raises(ValueError, match="expected uint8"):
        encode_video(str(tmp_path / "x.mp4"), gradient().astype(np.float32), 16)
    with pytest.raises(ValueError, match="at least one frame"):
        encode_video(str(tmp_path / "x.mp4"), gradient()[:0], 16)
    with pytest.raises(ValueError, match="fps"):
        encode_video(str(tmp_path / "x.mp4"), gradient(), 0)
