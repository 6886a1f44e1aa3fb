"""Recording with an engine that is played by this test, and what is refused without the real one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import data.vizdoom.engine as engine_module
import data.vizdoom.recorder as recorder_module
from data import prepare
from data.vizdoom.config import VizdoomConfig
from data.vizdoom.observation import Action, Media, Tic
from data.vizdoom.recorder import LEAD_TICS, record_episode
from src.core.errors import UserError

CONFIG = VizdoomConfig(seconds=1.0, height=24, width=32, plays=("stand",), weapons=("pistol",), cue_prob=0.0)


class FakeEngine:
    """A game in which each shot makes a click, and the player leaves the map after `num_tics`."""

    sectors: list[Any] = []

    def __init__(
        self, name: str, seed: int, show_weapon: bool, click: int = 9000, num_tics: int = 10**6
    ) -> None:
        self.name, self.click, self.num_tics = name, click, num_tics
        self.tic, self.ammo, self.angle, self.ready_at = 0, 200, 0.0, 0

    def __enter__(self) -> "FakeEngine":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def command(self, text: str) -> None:
        if text.startswith("warp"):
            self.ready_at = 0

    def skip(self, num_tics: int) -> bool:
        return True

    def restart(self) -> None:
        self.tic = 0

    def act(self, action: Action) -> tuple[Tic, Media] | None:
        self.tic += 1
        if self.tic > self.num_tics:
            return None
        samples = np.zeros((1260, 2), np.int16)
        samples[0] = 1 if self.click else 0  # the real one dithers
        if action.attack and self.tic >= self.ready_at:
            self.ammo, self.ready_at = self.ammo - 1, self.tic + 20
            samples[44:90] = self.click
        self.angle = (self.angle - action.turn) % 360
        frame = np.full((192, 256, 3), 40 + self.tic % 100, np.uint8)
        return Tic(0.0, 0.0, self.angle, 2, self.ammo), Media(
            frame, np.full((192, 256), 60, np.uint8), samples
        )


def record(monkeypatch: pytest.MonkeyPatch, num_clips: int = 2, **settings: Any) -> list[Any]:
    def make(*args: Any) -> FakeEngine:
        return FakeEngine(*args, **settings)

    monkeypatch.setattr(recorder_module, "Engine", make)
    return list(record_episode(CONFIG, "freedoom2/map01", 3, num_clips))


def test_clips_have_frames_audio_and_shots_on_one_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = [clip for _, clip in record(monkeypatch, 6)]
    shots = [event for clip in clips for event in clip.facts["events"] if event["kind"] == "shot"]
    assert len(shots) > 3
    for clip in clips:
        assert clip.video_THWC.shape == (16, 24, 32, 3)
        assert clip.audio_CS.shape == (2, 48_000)
        loud = np.abs(clip.audio_CS[0]) > 0.1
        for event in clip.facts["events"]:
            onset = round(event["time_s"] * 48_000)
            assert loud[onset : onset + 48].any()
            assert not loud[onset - 96 : onset - 24].any()
    brightness = clips[0].video_THWC[:, 0, 0, 0].astype(int)
    assert np.diff(brightness)[:5].tolist() == [2, 2, 2, 2, 2]  # tics 0, 2, 4, 6, 8, 10


def test_the_same_seed_gives_the_same_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = record(monkeypatch), record(monkeypatch)
    for (_, a), (_, b) in zip(first, second, strict=True):
        assert np.array_equal(a.audio_CS, b.audio_CS)
        assert a.facts == b.facts


def test_audio_of_zeros_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"audio is all zeros.*libopenal1"):
        record(monkeypatch, click=0)


def test_a_player_who_always_leaves_the_map_gives_no_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    assert record(monkeypatch, num_tics=LEAD_TICS) == [(0, None), (1, None)]


@pytest.mark.parametrize(
    ("function", "missing", "message"),
    [
        (engine_module.importlib.util, "find_spec", "needs the ViZDoom package.*games.lock"),
        (engine_module.ctypes.util, "find_library", "needs OpenAL.*all zeros: apt-get install libopenal1"),
    ],
)
def test_what_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, function: Any, missing: str, message: str
) -> None:
    real: Callable[..., Any] = getattr(function, missing)
    hidden = ("vizdoom", "openal") if missing == "find_library" else ("vizdoom",)
    if missing == "find_library":
        monkeypatch.setattr(engine_module.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(function, missing, lambda name, *rest: None if name in hidden else real(name, *rest))
    with pytest.raises(UserError, match=message):
        prepare.main([f"out={tmp_path}", "source=vizdoom"])
