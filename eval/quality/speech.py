"""Quality and intelligibility of speech against its reference: PESQ and STOI."""

import importlib.util
from dataclasses import asdict
from typing import Any

import numpy as np

from eval.core.audio_metric import AudioPairMetric, CommonPart
from eval.core.audio_pass import AudioInfo, AudioPairTask, MonoStream
from eval.core.results import Item, Measurement, Score
from eval.quality.config import SpectralConfig, SpeechConfig

RATE = 16_000
DEFAULTS = SpeechConfig()


class Speech(AudioPairMetric):
    """PESQ (wide band) and STOI at 16 kHz; valid for recorded or coded speech only."""

    name = "speech"

    def __init__(self, settings: SpeechConfig = DEFAULTS, alignment: SpectralConfig | None = None) -> None:
        missing = [name for name in ("pesq", "pystoi") if importlib.util.find_spec(name) is None]
        if missing:
            raise ValueError(f"speech: needs pip install {' '.join(missing)}")
        self.settings, self.min_common = settings, (alignment or SpectralConfig()).min_common
        parts = f"16 kHz, mean over parts of {settings.part_s:g} s"
        self.scores = {
            "pesq": Score(1, "", f"ITU-T P.862.2, wide band, {parts} (package pesq)"),
            "stoi": Score(1, "", f"short-time objective intelligibility, {parts} (package pystoi)"),
        }

    def describe(self) -> dict[str, Any]:
        return {
            "backbone": None,
            "preprocessing": f"mean of channels, {RATE} Hz (soxr), cut to the shorter; parts are weighed by "
            "their length, those without an utterance are left out",
            "settings": {**asdict(self.settings), "min_common": self.min_common},
        }

    def observe_audio_pairs(self, item: Item, info: AudioInfo) -> AudioPairTask:
        common, size = CommonPart(info.rate, self.min_common), round(self.settings.part_s * RATE)
        streams = [MonoStream(info, RATE) for _ in range(2)]
        held_2S = np.zeros((2, 0), np.float32)
        parts = _Parts()
        while (pair := (yield)) is not None:
            if not common.count(*pair):
                continue
            more = [stream.add(each[None]) for stream, each in zip(streams, pair, strict=True)]
            held_2S = np.concatenate([held_2S, np.stack(more)], axis=1)
            while held_2S.shape[1] >= 2 * size:  # so that the last part is not a short one
                parts.add(held_2S[:, :size])
                held_2S = held_2S[:, size:]
        seconds = common.seconds()
        held_2S = np.concatenate([held_2S, np.stack([each.finish() for each in streams])], axis=1)
        cut = held_2S.shape[1] if held_2S.shape[1] <= size else held_2S.shape[1] // 2
        for part_2S in (held_2S[:, :cut], held_2S[:, cut:]):
            if part_2S.shape[1]:
                parts.add(part_2S)
        return Measurement(
            parts.values(), {"seconds": seconds, "parts": parts.num, "left_out": parts.refused}
        )


class _Parts:
    """Values of parts of the audio, and their mean."""

    def __init__(self) -> None:
        self.num, self.reasons = 0, list[str]()
        self._samples, self._sums_2 = 0, np.zeros(2)

    @property
    def refused(self) -> int:
        return len(self.reasons)

    def add(self, part_2S: np.ndarray) -> None:
        from pesq import PesqError, pesq
        from pystoi import stoi

        generated, reference = part_2S
        self.num += 1
        try:
            quality = pesq(RATE, reference, generated, "wb")
        except PesqError as error:
            self.reasons = [*self.reasons, str(error).strip("b'")]
            return
        self._samples += len(reference)
        self._sums_2 += len(reference) * np.array([quality, stoi(reference, generated, RATE)])

    def values(self) -> dict[str, float]:
        """Return the means.

        Raises:
            ValueError: all parts were refused.
        """
        if not self._samples:
            raise ValueError(f"pesq: {self.reasons[0]}")
        pesq_mean, stoi_mean = self._sums_2 / self._samples
        return {"pesq": float(pesq_mean), "stoi": float(stoi_mean)}
