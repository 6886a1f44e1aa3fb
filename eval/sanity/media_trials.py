"""What the self-test spoils, and what must come of it: drifting stripes, ringing hits, their degradations."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from eval.alignment.onsets import onset_scores, onsets
from eval.core.audio import Sound
from eval.core.draws import generator
from eval.quality.fidelity import compare_films
from eval.quality.loudness import judge_sound
from eval.quality.low_level import filtered, freezes, steps
from eval.quality.pitch import RATE as PITCH_RATE
from eval.quality.pitch import Pitch, compare_pitch
from eval.quality.spectral import compare_sounds
from eval.sanity.degradations import blur, noise, reversed_time

RATE, FPS = 48_000, 16.0
Values = dict[str, float]


@dataclass(frozen=True)
class Trial:
    """A degradation in growing strengths (the first is none), and which way each value must move.

    `expected`: 1 must rise, -1 must fall, 0 must stay. `measure` takes a seed and a strength. `needs`
    raises ValueError where a package is not there.
    """

    name: str
    strengths: tuple[float, ...]
    measure: Callable[[int, float], Values]
    expected: dict[str, int]
    needs: Callable[[], object] = dict  # nothing


def film(seed: int) -> np.ndarray:
    """uint8 [10, 48, 48, 3]: drifting stripes with edges, for blur is a matter of edges."""
    rng = generator(seed, "selftest/film")
    t, y, x = np.mgrid[:10, :48, :48]
    planes = []
    for _ in range(3):
        kx, ky, speed = rng.uniform(0.2, 0.6), rng.uniform(0.2, 0.6), rng.uniform(0.3, 0.5)
        planes.append(rng.uniform(90, 160) + 60 * np.tanh(4 * np.sin(kx * x + ky * y + speed * t)))
    return np.stack(planes, -1).clip(0, 255).astype(np.uint8)


def hits(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """float64 [S] of ringing hits over faint noise, 3 s, and the hits' times."""
    rng = generator(seed, "selftest/sound")
    times = 0.25 + 0.45 * np.arange(6) + rng.uniform(-0.05, 0.05, 6)
    out = rng.normal(0, 0.002, 3 * RATE)
    for time in times:
        n = np.arange(RATE // 5)
        start = round(time * RATE)
        out[start : start + len(n)] += 0.4 * np.sin(n * rng.uniform(0.05, 0.2)) * np.exp(-n / 1500)
    return out, times


def against_itself(change: Callable[[np.ndarray, float], np.ndarray]) -> Callable[[int, float], Values]:
    """A film's values after `change`, with those against what it was."""

    def measure(seed: int, strength: float) -> Values:
        real = film(seed)
        made = change(real, strength) if strength else real
        return compare_films(made, real) | steps(made) | filtered(made) | freezes(made, FPS)

    return measure


def sounding(change: Callable[[np.ndarray, float], np.ndarray]) -> Callable[[int, float], Values]:
    """A sound's values after `change`, against what it was and against its hits."""

    def measure(seed: int, strength: float) -> Values:
        real, times = hits(seed)
        made = change(real, strength) if strength else real
        sound = Sound(made[None].astype(np.float32), RATE)
        against = compare_sounds(made, real)
        return judge_sound(sound) | against | onset_scores(onsets(sound), times)

    return measure


def freeze(video: np.ndarray, share: float) -> np.ndarray:
    """The last `share` of the frames repeat the one before them."""
    keep = round(len(video) * (1 - share))
    return video[np.minimum(np.arange(len(video)), max(keep - 1, 0))]


def shuffle(video: np.ndarray, share: float) -> np.ndarray:
    """The first `share` of the frames in another order: neighbours of before stand far apart."""
    order, count = np.arange(len(video)), round(len(video) * share)
    order[:count] = np.concatenate([order[0:count:2], order[1:count:2]])
    return video[order]


def late(sound: np.ndarray, ms: float) -> np.ndarray:
    shift = round(ms * RATE / 1000)
    return np.concatenate([np.zeros(shift), sound])[: len(sound)]


def silence(sound: np.ndarray, share: float) -> np.ndarray:
    out = sound.copy()
    out[: round(share * len(sound))] = 0
    return out


def clip(sound: np.ndarray, gain: float) -> np.ndarray:
    return np.clip(sound * gain, -1, 1)


def hiss(sound: np.ndarray, level: float) -> np.ndarray:
    return sound + generator(0, "selftest/hiss").normal(0, level, len(sound))


def detuned(seed: int, cents: float) -> Values:
    """Pitch of a note with overtones, and of the same note higher by `cents`. Needs torchcrepe."""
    hertz = generator(seed, "selftest/note").uniform(200, 500)
    made, real = (_note(hertz * 2 ** (shift / 1200)) for shift in (cents, 0))
    return compare_pitch(*_pitch().track(made), *_pitch().track(real))[0]


def muted(seed: int, share: float) -> Values:
    """Pitch of a note, and of the same note with silence at its beginning. Needs torchcrepe."""
    real = _note(generator(seed, "selftest/note").uniform(200, 500))
    return compare_pitch(*_pitch().track(silence(real, share)), *_pitch().track(real))[0]


def _note(hertz: float) -> np.ndarray:
    phase = 2 * np.pi * hertz * np.arange(PITCH_RATE) / PITCH_RATE
    return sum(0.3 / k * np.sin(k * phase) for k in (1, 2, 3))


@cache
def _pitch() -> Pitch:
    return Pitch()


MEDIA_TRIALS = (
    Trial("blur", (0, 0.5, 1, 2), against_itself(lambda v, s: blur(s)(v, 0)),
          {"psnr": -1, "ssim": -1, "si": -1}),
    # blurdetect measures the width of the edges that are left: past this it falls again, with the edges
    Trial("slight blur", (0, 0.5, 1), against_itself(lambda v, s: blur(s)(v, 0)), {"blur": 1}),
    Trial("noise", (0, 5, 10, 20, 40), against_itself(lambda v, s: noise(s)(v, 0)),
          {"psnr": -1, "ssim": -1, "flicker": -1, "smoothness_blend": -1, "ti": 1, "si": 1}),
    Trial("freeze", (0, 0.4, 0.6, 0.9), against_itself(freeze),
          {"frozen": 1, "freeze": 1, "change": -1, "psnr": -1, "ti": -1}),
    Trial("shuffle", (0, 0.5, 1), against_itself(shuffle),
          {"smoothness_blend": -1, "flicker": -1, "psnr": -1}),
    # what asks for no order cannot see it: only the reference tells
    Trial("reversed time", (0, 1), against_itself(lambda v, s: reversed_time(v, 0)),
          {"psnr": -1, "ssim": -1, "flicker": 0, "smoothness_blend": 0}),
    Trial("desync by k x 40 ms", (0, 40, 80, 120, 160), sounding(late),
          {"onset_shift": 1, "si_sdr": -1, "stft": 1}),
    Trial("desync by 80 ms", (0, 80), sounding(late), {"onset_f1": -1, "onset_precision": -1}),
    Trial("silence", (0, 0.3, 0.6, 0.95), sounding(silence),
          {"silent": 1, "onset_f1": -1, "onset_recall": -1, "mel": 1, "si_sdr": -1}),
    Trial("clipping", (0, 4, 8, 16), sounding(clip), {"clipped": 1, "si_sdr": -1, "mel": 1, "lufs": 1}),
    Trial("detuning by cents", (0, 25, 50, 100), detuned, {"f0_cents_crepe": 1}, Pitch),
    Trial("silence on a note", (0, 0.3, 0.6, 0.9), muted,
          {"voicing_crepe": -1, "f0_accuracy_crepe": -1}, Pitch),
    Trial("hiss", (0, 0.003, 0.01, 0.03), sounding(hiss), {"mel": 1, "stft": 1, "si_sdr": -1}),
)  # fmt: skip
