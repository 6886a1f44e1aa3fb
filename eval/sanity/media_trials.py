"""Sanity checks of video and audio metrics on synthetic media: moving stripes, decaying tones."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from eval.alignment.onsets import detect_onsets, onset_scores
from eval.core.audio import Audio
from eval.core.degradations import blur, noise, reversed_time
from eval.core.frame_metric import measure_arrays
from eval.quality.fidelity import Fidelity
from eval.quality.loudness import measure_audio
from eval.quality.low_level import LowLevelQuality
from eval.quality.pitch import RATE as PITCH_RATE
from eval.quality.pitch import Pitch, pitch_scores
from eval.quality.spectral import compare_audio
from src.core.rng import numpy_generator

SAMPLE_RATE, FPS = 48_000, 16.0
Values = dict[str, float]


@dataclass(frozen=True)
class Trial:
    """A degradation in growing strengths (the first is none), and the expected direction of each value.

    `expected`: 1 must rise, -1 must fall, 0 must stay. `measure` takes a seed and a strength.
    `require` raises ValueError if a package is missing.
    """

    name: str
    strengths: tuple[float, ...]
    measure: Callable[[int, float], Values]
    expected: dict[str, int]
    require: Callable[[], object] = dict  # nothing


def synthetic_video(seed: int) -> np.ndarray:
    """Return uint8 [10, 48, 48, 3]: moving stripes with sharp edges, so that blur has an effect."""
    rng = numpy_generator(seed, "selftest/film")
    t, y, x = np.mgrid[:10, :48, :48]
    planes = []
    for _ in range(3):
        kx, ky, speed = rng.uniform(0.2, 0.6), rng.uniform(0.2, 0.6), rng.uniform(0.3, 0.5)
        planes.append(rng.uniform(90, 160) + 60 * np.tanh(4 * np.sin(kx * x + ky * y + speed * t)))
    return np.stack(planes, -1).clip(0, 255).astype(np.uint8)


def synthetic_audio(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return float64 [S] of decaying tones over faint noise, 3 s, and the times of their onsets."""
    rng = numpy_generator(seed, "selftest/sound")
    times = 0.25 + 0.45 * np.arange(6) + rng.uniform(-0.05, 0.05, 6)
    out = rng.normal(0, 0.002, 3 * SAMPLE_RATE)
    for time in times:
        n = np.arange(SAMPLE_RATE // 5)
        start = round(time * SAMPLE_RATE)
        out[start : start + len(n)] += 0.4 * np.sin(n * rng.uniform(0.05, 0.2)) * np.exp(-n / 1500)
    return out, times


def compare_video(degrade: Callable[[np.ndarray, float], np.ndarray]) -> Callable[[int, float], Values]:
    """Return a measure of a degraded video, by itself and against the original."""

    def measure(seed: int, strength: float) -> Values:
        real = synthetic_video(seed)
        degraded = degrade(real, strength) if strength else real
        alone = measure_arrays(LowLevelQuality(), degraded, fps=FPS)
        return measure_arrays(Fidelity(), degraded, real, fps=FPS).values | alone.values

    return measure


def compare_degraded_audio(
    degrade: Callable[[np.ndarray, float], np.ndarray],
) -> Callable[[int, float], Values]:
    """Return a measure of degraded audio, by itself, against the original and against its onsets."""

    def measure(seed: int, strength: float) -> Values:
        real, times = synthetic_audio(seed)
        degraded = degrade(real, strength) if strength else real
        audio = Audio(degraded[None].astype(np.float32), SAMPLE_RATE)
        against = compare_audio(degraded, real, rate=SAMPLE_RATE)
        return measure_audio(audio) | against | onset_scores(detect_onsets(audio), times).values

    return measure


def freeze(video: np.ndarray, fraction: float) -> np.ndarray:
    """Replace the last `fraction` of the frames by the one before them."""
    keep = round(len(video) * (1 - fraction))
    return video[np.minimum(np.arange(len(video)), max(keep - 1, 0))]


def shuffle(video: np.ndarray, fraction: float) -> np.ndarray:
    """Reorder the first `fraction` of the frames so that neighbors move far apart."""
    order, count = np.arange(len(video)), round(len(video) * fraction)
    order[:count] = np.concatenate([order[0:count:2], order[1:count:2]])
    return video[order]


def flatten_blocks(video: np.ndarray, fraction: float) -> np.ndarray:
    """Mix every block of 8 x 8 pixels with its mean, as coarse compression does."""
    frames, height, width, channels = video.shape
    blocks = video.reshape(frames, height // 8, 8, width // 8, 8, channels).astype(np.float64)
    mixed = (1 - fraction) * blocks + fraction * blocks.mean((2, 4), keepdims=True)
    return mixed.reshape(video.shape).round().astype(np.uint8)


def delay(samples_S: np.ndarray, ms: float) -> np.ndarray:
    """Delay audio; its end is cut."""
    shift = round(ms * SAMPLE_RATE / 1000)
    return np.concatenate([np.zeros(shift), samples_S])[: len(samples_S)]


def silence(samples_S: np.ndarray, fraction: float) -> np.ndarray:
    """Silence the first `fraction` of the samples."""
    out = samples_S.copy()
    out[: round(fraction * len(samples_S))] = 0
    return out


def clip_samples(samples_S: np.ndarray, gain: float) -> np.ndarray:
    """Amplify and clip to full scale."""
    return np.clip(samples_S * gain, -1, 1)


def add_noise(samples_S: np.ndarray, level: float) -> np.ndarray:
    """Add white noise with standard deviation `level`."""
    return samples_S + numpy_generator(0, "selftest/hiss").normal(0, level, len(samples_S))


def detuned(seed: int, cents: float) -> Values:
    """Compare the pitch of a note with overtones and of the same note higher by `cents`. Needs torchcrepe."""
    hertz = numpy_generator(seed, "selftest/note").uniform(200, 500)
    degraded, real = (_note(hertz * 2 ** (shift / 1200)) for shift in (cents, 0))
    return pitch_scores(*_pitch().track_pitch(degraded), *_pitch().track_pitch(real))[0]


def muted(seed: int, fraction: float) -> Values:
    """Compare the pitch of a note and of the same note with silence at its start. Needs torchcrepe."""
    real = _note(numpy_generator(seed, "selftest/note").uniform(200, 500))
    return pitch_scores(*_pitch().track_pitch(silence(real, fraction)), *_pitch().track_pitch(real))[0]


def _note(hertz: float) -> np.ndarray:
    phase = 2 * np.pi * hertz * np.arange(PITCH_RATE) / PITCH_RATE
    return sum(0.3 / k * np.sin(k * phase) for k in (1, 2, 3))


@cache
def _pitch() -> Pitch:
    return Pitch()


MEDIA_TRIALS = (
    Trial("blur", (0, 0.5, 1, 2), compare_video(lambda v, s: blur(s)(v, 0)),
          {"psnr": -1, "ssim": -1, "si": -1}),
    # blurdetect measures the width of the remaining edges: at stronger blur it falls again
    Trial("slight blur", (0, 0.5, 1), compare_video(lambda v, s: blur(s)(v, 0)), {"blur": 1}),
    Trial("noise", (0, 5, 10, 20, 40), compare_video(lambda v, s: noise(s)(v, 0)),
          {"psnr": -1, "ssim": -1, "flicker": -1, "smoothness_blend": -1, "ti": 1, "si": 1}),
    Trial("freeze", (0, 0.4, 0.6, 0.9), compare_video(freeze),
          {"frozen": 1, "freeze": 1, "change": -1, "psnr": -1, "ti": -1}),
    Trial("flat blocks", (0, 0.25, 0.5, 1), compare_video(flatten_blocks), {"blocks": 1, "psnr": -1}),
    Trial("shuffle", (0, 0.5, 1), compare_video(shuffle),
          {"smoothness_blend": -1, "flicker": -1, "psnr": -1}),
    # metrics without temporal order cannot detect it: only comparisons with the reference can
    Trial("reversed time", (0, 1), compare_video(lambda v, s: reversed_time(v, 0)),
          {"psnr": -1, "ssim": -1, "flicker": 0, "smoothness_blend": 0}),
    Trial("desync by k x 40 ms", (0, 40, 80, 120, 160), compare_degraded_audio(delay),
          {"onset_shift": 1, "si_sdr": -1, "stft": 1}),
    Trial("desync by 80 ms", (0, 80), compare_degraded_audio(delay), {"onset_f1": -1, "onset_precision": -1}),
    Trial("silence", (0, 0.3, 0.6, 0.95), compare_degraded_audio(silence),
          {"silent": 1, "onset_f1": -1, "onset_recall": -1, "mel": 1, "si_sdr": -1}),
    Trial("clipping", (0, 4, 8, 16), compare_degraded_audio(clip_samples),
          {"clipped": 1, "si_sdr": -1, "mel": 1, "lufs": 1}),
    Trial("detuning by cents", (0, 25, 50, 100), detuned, {"f0_cents_crepe": 1}, Pitch),
    Trial("silence on a note", (0, 0.3, 0.6, 0.9), muted,
          {"voicing_crepe": -1, "f0_accuracy_crepe": -1}, Pitch),
    Trial("white noise", (0, 0.003, 0.01, 0.03), compare_degraded_audio(add_noise),
          {"mel": 1, "stft": 1, "si_sdr": -1}),
)  # fmt: skip
