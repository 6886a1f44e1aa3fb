"""One decode for all metrics, in constant memory; pairs of videos of other rates, sizes and pixel formats."""

import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image

from eval.backbones.cache import FeatureCache, description_sha256
from eval.backbones.config import UserProgramConfig
from eval.backbones.user_program import UserProgram
from eval.core import frame_pairs, frame_pass, frame_source
from eval.core.frame_metric import PairMetric
from eval.core.frame_pass import run_pass
from eval.core.frame_source import Frame, FrameSource, StreamInfo, open_frames
from eval.core.frame_tasks import frame_batches, frames_of, map_batches, run_task, take_frames
from eval.core.manifest import Sample
from eval.core.results import Item, Measurement
from eval.core.video import DecodeError, write_video
from eval.measurement import _rows_name, measure_sample
from eval.quality.consistency import Consistency
from eval.quality.dynamics import BlockMotion
from eval.quality.fidelity import psnr
from eval.quality.low_level import LowLevelQuality
from eval.quality.vmaf import Vmaf
from eval.registry import Extraction
from tests.fixtures.network_checkpoints import save_script
from tests.fixtures.odd_media import ffmpeg
from tests.fixtures.video_files import write_zero_frames
from tests.fixtures.videos import waves


class Difference(PairMetric):
    """Number of pairs and PSNR."""

    name, scores = "difference", {}

    def describe(self):
        return {}

    def observe_pairs(self, item, info):
        errors = []
        while (pair := (yield)) is not None:
            a, b = (each.rgb_HWC.astype(float) for each in pair)
            errors.append(float(((a - b) ** 2).mean()))
        return Measurement({"psnr": psnr(float(np.mean(errors))), "num": float(len(errors))})


def difference(folder, video, reference):
    sample = Sample(id="a", prompt="", video=video, reference=reference)
    return Difference().measure(Item(sample, folder)).values


@pytest.fixture(scope="module")
def pixels(tmp_path_factory):
    path = tmp_path_factory.mktemp("program") / "pixels.pt"
    save_script(torch.nn.Sequential(torch.nn.Flatten()), path)
    return UserProgram("pixels", UserProgramConfig(path=str(path), size=4, num_frames=3))


def test_each_file_is_opened_once_for_all_metrics_and_backbones(tmp_path, pixels, monkeypatch):
    for name in ("a", "b"):
        write_video(tmp_path / f"{name}.mp4", waves(0, 6, 36), 8)
    opened, real = [], frame_source.open_video

    def counted(path, *args, **kwargs):
        opened.append(path.name)
        return real(path, *args, **kwargs)

    monkeypatch.setattr(frame_source, "open_video", counted)
    cache = FeatureCache(tmp_path / "cache")
    metrics = [
        *(LowLevelQuality(), BlockMotion(), Vmaf(), Difference()),
        *(Consistency(pixels, cache), Extraction(pixels, cache)),
    ]
    sample = Sample(id="a", prompt="", video="a.mp4", reference="b.mp4")
    for expected in (["a.mp4", "b.mp4"], ["a.mp4", "b.mp4"] * 2):
        records = measure_sample(sample, root=tmp_path, metrics=metrics)
        assert [each.dropped for each in records] == [None] * len(metrics)
        assert opened == expected
    assert (cache.misses, cache.hits) == (1, 4)


def test_memory_does_not_grow_with_the_length(pixels, monkeypatch, tmp_path):
    def peak(num):
        def synthetic(path):
            info = StreamInfo(num, 8.0, 128, 128)
            noise = (np.random.default_rng(n).integers(0, 256, (128, 128, 3), np.uint8) for n in range(num))
            return _Opened(FrameSource(info, (Frame(rgb, n / 8) for n, rgb in enumerate(noise))))

        monkeypatch.setattr(frame_pass, "open_frames", synthetic)
        low, motion = LowLevelQuality(), BlockMotion()
        tasks = {
            "low": lambda info: low.observe(None, info),
            "motion": lambda info: motion.observe(None, info),
            "pixels": pixels.observe,
        }
        tracemalloc.start()
        found = run_pass(tmp_path, tasks)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert not [each for each in found.values() if isinstance(each, Exception)]
        return used

    peak(4)  # imports
    frame = 128 * 128 * 3
    assert peak(120) - peak(20) < 2 * frame


class _Opened:
    def __init__(self, source):
        self.source = source

    def __enter__(self):
        return self.source

    def __exit__(self, *_):
        return None


def test_a_wrong_number_of_frames_in_the_header_is_corrected(monkeypatch, tmp_path):
    video = waves(0, 9)

    def synthetic(path):
        return _Opened(FrameSource(StreamInfo(12, 8.0, 32, 32), frames_of(video, 8.0)))

    monkeypatch.setattr(frame_pass, "open_frames", synthetic)
    tasks = {"three": lambda info: take_frames(np.linspace(0, info.num_frames - 1, 3).astype(int))}
    assert np.array_equal(run_pass(tmp_path, tasks)["three"], video[[0, 4, 8]])


def test_frames_beyond_the_end_are_refused():
    with pytest.raises(ValueError, match="expected at least 9 frames, got 6"):
        run_task(take_frames([0, 8]), frames_of(waves(0, 6), 8.0))


def counted_source(monkeypatch, num=9):
    """Make the pass read a video whose frames are counted as they are taken."""
    taken = []

    def frames():
        for frame in frames_of(waves(0, num), 8.0):
            taken.append(frame.time_s)
            yield frame

    source = FrameSource(StreamInfo(num, 8.0, 32, 32), frames())
    monkeypatch.setattr(frame_pass, "open_frames", lambda path: _Opened(source))
    return taken


def first_two(info):
    yield
    yield
    return "done"


def test_nothing_is_decoded_that_no_metric_needs(monkeypatch, tmp_path):
    taken = counted_source(monkeypatch)
    assert run_pass(tmp_path, {"a": first_two}) == {"a": "done"}
    assert len(taken) < 5


def test_a_task_that_ends_early_does_not_end_the_others(monkeypatch, tmp_path):
    taken = counted_source(monkeypatch)
    monkeypatch.setattr(
        frame_pairs,
        "open_frames",
        lambda path: _Opened(FrameSource(StreamInfo(9, 8.0, 32, 32), frames_of(waves(1, 9), 8.0))),
    )

    def count(info):
        num = 0
        while (yield) is not None:
            num += 1
        return num

    found = run_pass(tmp_path, {"a": first_two, "b": count}, {"c": count}, lambda: tmp_path)
    assert found == {"a": "done", "b": 9, "c": 9}
    assert len(taken) == 9
    taken = counted_source(monkeypatch)
    assert run_pass(tmp_path, {"a": first_two}, {"c": count}, lambda: tmp_path) == {"a": "done", "c": 9}


def test_batches_read_along_are_those_of_the_pass():
    video = waves(0, 9)
    for indices in (None, [0, 3, 4, 8]):
        expected = run_task(map_batches(indices, 2, lambda frames: frames), frames_of(video, 8.0))
        found = list(frame_batches(frames_of(video, 8.0), indices, 2))
        assert len(found) == len(expected) == (5 if indices is None else 2)
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_stills_and_empty_videos(tmp_path):
    Image.fromarray(waves(0, 1)[0]).save(tmp_path / "a.png")
    with open_frames(tmp_path / "a.png") as source:
        assert source.info == StreamInfo(1, 0.0, 32, 32)
        assert [frame.time_s for frame in source.frames] == [0.0]
    write_zero_frames(tmp_path / "b.mp4")
    with pytest.raises(DecodeError, match=r"b\.mp4: "), open_frames(tmp_path / "b.mp4") as source:
        list(source.frames)


FORMATS = (
    *("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv420p12le"),
    *("gray", "gray10le", "gbrp"),
)


@pytest.mark.parametrize("pixel_format", FORMATS)
def test_a_lossless_copy_has_100_db_in_every_pixel_format(pixel_format, tmp_path):
    source = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=8:d=0.5", "-pix_fmt", pixel_format)
    ffmpeg(*source, "-c:v", "ffv1", tmp_path / "real.mkv")
    lossless = {"gbrp": ("libx264rgb", "-qp", 0), "yuv420p12le": ("ffv1", "-level", 3)}
    codec = lossless.get(pixel_format, ("libx264", "-qp", 0))
    ffmpeg("-i", tmp_path / "real.mkv", "-pix_fmt", pixel_format, "-c:v", *codec, tmp_path / "copy.mkv")
    assert difference(tmp_path, "copy.mkv", "real.mkv") == {"psnr": 100, "num": 4}
    sample = Sample(id="a", prompt="", video="copy.mkv", reference="real.mkv")
    assert Vmaf().measure(Item(sample, tmp_path)).values["psnr_yuv"] == 100


@pytest.mark.parametrize(
    ("stored", "copied"), [("yuv420p", "yuv420p10le"), ("yuv422p", "yuv422p12le"), ("yuv444p", "yuv444p10le")]
)
def test_more_bits_hold_the_same_pixels(stored, copied, tmp_path):
    source = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=8:d=0.5", "-pix_fmt", stored)
    ffmpeg(*source, "-c:v", "ffv1", tmp_path / "real.mkv")
    ffmpeg("-i", tmp_path / "real.mkv", "-pix_fmt", copied, "-c:v", "ffv1", tmp_path / "copy.mkv")
    assert difference(tmp_path, "copy.mkv", "real.mkv")["psnr"] == 100


def test_sizes_and_rates_are_converted_as_stated(tmp_path):
    video = waves(3, 12, 64)
    write_video(tmp_path / "real.mp4", video, 12, crf=0)
    ffmpeg(
        "-i", tmp_path / "real.mp4", "-vf", "scale=32:32:flags=area", "-c:v", "ffv1", tmp_path / "small.mkv"
    )
    ffmpeg("-i", tmp_path / "real.mp4", "-vf", "fps=24", "-c:v", "ffv1", tmp_path / "double.mkv")
    ffmpeg("-i", tmp_path / "real.mp4", "-vf", "scale=64:32", "-c:v", "ffv1", tmp_path / "wide.mkv")
    ffmpeg("-i", tmp_path / "real.mp4", "-t", 0.5, "-c:v", "ffv1", tmp_path / "half.mkv")
    assert 20 < difference(tmp_path, "small.mkv", "real.mp4")["psnr"] < 60
    assert difference(tmp_path, "double.mkv", "real.mp4") == {"psnr": 100, "num": 12}
    assert difference(tmp_path, "real.mp4", "double.mkv") == {"psnr": 100, "num": 24}
    with pytest.raises(ValueError, match="differ in shape: 64x32 and 64x64"):
        difference(tmp_path, "wide.mkv", "real.mp4")
    with pytest.raises(ValueError, match="differ in length: 6 frames at 12 per second and 12 frames"):
        difference(tmp_path, "half.mkv", "real.mp4")
    with pytest.raises(ValueError, match="differ in length"):
        difference(tmp_path, "real.mp4", "half.mkv")
    for num, allowed in ((23, True), (21, False)):  # a frame of the slower one is 1/12 s
        ffmpeg("-i", tmp_path / "double.mkv", "-frames:v", num, "-c:v", "ffv1", tmp_path / f"{num}.mkv")
        if allowed:
            assert difference(tmp_path, f"{num}.mkv", "real.mp4")["psnr"] == 100
        else:
            with pytest.raises(ValueError, match="21 frames at 24 per second and 12 frames"):
                difference(tmp_path, f"{num}.mkv", "real.mp4")


def test_a_fragmented_copy_whose_header_has_another_rate(tmp_path):
    write_video(tmp_path / "real.mp4", waves(1, 32), 16)
    flags = ("-c", "copy", "-movflags", "frag_keyframe+empty_moov")
    ffmpeg("-i", tmp_path / "real.mp4", *flags, tmp_path / "fragmented.mp4")
    assert difference(tmp_path, "fragmented.mp4", "real.mp4") == {"psnr": 100, "num": 32}


def test_turned_videos_are_compared_as_they_are_seen(tmp_path):
    write_video(tmp_path / "plain.mp4", waves(1, 4)[:, :24], 16)
    ffmpeg("-display_rotation", 90, "-i", tmp_path / "plain.mp4", "-c", "copy", tmp_path / "turned.mp4")
    ffmpeg("-i", tmp_path / "turned.mp4", "-c:v", "libx264", "-qp", 0, tmp_path / "baked.mp4")
    assert difference(tmp_path, "turned.mp4", "baked.mp4")["psnr"] > 40
    with open_frames(tmp_path / "turned.mp4") as source:
        assert (source.info.height, source.info.width) == (32, 24)
    sample = Sample(id="a", prompt="", video="turned.mp4", reference="baked.mp4")
    assert Vmaf().measure(Item(sample, tmp_path)).values["vmaf"] > 90


def test_each_backbone_has_a_name_of_its_own_and_empty_videos_an_error(pixels):
    other = UserProgram("pixels", UserProgramConfig(path=pixels.config.path, size=4, num_frames=2))
    names = [_rows_name(Consistency(each, None)) for each in (pixels, other)]
    assert len(set(names)) == 2
    assert names[0] == f"rows of {description_sha256(pixels)}"
    with pytest.raises(DecodeError, match=r"empty\.mp4: no frames"):
        list(frame_source._checked("empty.mp4", iter(())))
