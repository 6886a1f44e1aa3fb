"""Shots are cut into clips that never cross a cut."""

import torch

from data.clip_cutting import Counts, SmallFrame, cut_clips, frame_difference
from tests.fixtures.video_files import image


def frames(count: int, cuts: tuple[int, ...] = ()) -> list[SmallFrame]:
    out = []
    for i in range(count):
        rgb = torch.from_numpy(image(i, 24, 32, 90 * sum(c <= i for c in cuts) % 256)).permute(2, 0, 1)
        out.append(SmallFrame(rgb, i / 10))
    return out


def cut(count: int, lengths: tuple[int, ...], cuts: tuple[int, ...] = (), threshold: float = 0.12):
    counts = Counts()
    found = cut_clips(iter(frames(count, cuts)), lengths, threshold, counts)
    return [(round(c.start_s * 10), len(c.video_TCHW), c.shot) for c in found], counts


def test_longest_first_and_the_rest_is_trimmed() -> None:
    clips, counts = cut(61, (8, 16, 32))
    assert clips == [(0, 32, 1), (32, 16, 1), (48, 8, 1)]
    assert (counts.frames, counts.shots, counts.longest_shot) == (61, 1, 61)


def test_no_clip_crosses_a_cut() -> None:
    clips, counts = cut(60, (8, 16), cuts=(20, 27))
    assert clips == [(0, 16, 1), (27, 16, 3), (43, 16, 3)]
    assert counts.shots == 3


def test_cuts_can_be_ignored() -> None:
    assert cut(60, (30,), cuts=(20,), threshold=0.0)[0] == [(0, 30, 1), (30, 30, 1)]


def test_motion_is_no_cut() -> None:
    a, b, c = frames(2, cuts=())[0], frames(2)[1], frames(2, cuts=(1,))[1]
    assert frame_difference(a.rgb_CHW, b.rgb_CHW) < 0.03 < 0.12 < frame_difference(a.rgb_CHW, c.rgb_CHW)


def test_memory_holds_one_clip_at_most() -> None:
    pending: list[int] = []

    def endless():
        for i in range(1000):
            pending.append(i)
            yield frames(1)[0]

    found = cut_clips(endless(), (4, 16), 0.0, Counts())
    next(found)
    assert len(pending) == 16
