"""A generated video, its audio, and how it came about.

Legend: T frames, H height, W width, C channels, S audio samples.
"""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from src.core.media_io.audio import Audio
from src.core.media_io.image_writer import write_image
from src.core.media_io.video_writer import write_video


@dataclass(frozen=True)
class PredictedFrames:
    """Frames uint8 [T, H, W, C] that the model expected at a step of sampling, at flow time t."""

    step: int
    t: float
    frames_THWC: Tensor


@dataclass(frozen=True)
class Video:
    """A generated video; one frame is an image. `warnings` names what is unlike training."""

    frames_THWC: Tensor  # uint8
    fps: float
    prompt: str
    seed: int
    audio_CS: Tensor | None = None  # in [-1, 1]
    sample_rate: int | None = None
    predictions: tuple[PredictedFrames, ...] = ()
    warnings: tuple[str, ...] = ()

    def save(self, path: str | Path, crf: int = 8) -> Path:
        """Write an .mp4, or of one frame a .png; return the path.

        Args:
            crf: H.264 quality, 0 (lossless) to 51.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        frames_THWC = self.frames_THWC.numpy()
        if len(frames_THWC) == 1:
            write_image(path, frames_THWC[0])
        else:
            audio = None
            if self.audio_CS is not None and self.sample_rate is not None:
                audio = Audio(self.audio_CS.numpy(), self.sample_rate)
            write_video(path, frames_THWC, self.fps, crf, audio=audio)
        return path
