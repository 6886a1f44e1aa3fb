"""Cosine of a clip's audio and video by a contrastive model: high where what is heard is seen.

Movie Gen sorts audio into diegetic and other by bounds of such a cosine (sec. 6.2). The model is a folder of
programs, as `src.export` writes of a contrastive run.

Legend: T frames, H height, W width, C = 3 (RGB, uint8), S samples.
"""

from functools import cache
from pathlib import Path

import numpy as np

from eval.backbones.checksummed_weights import Network
from eval.backbones.clip_clap import unit_norm
from eval.backbones.config import WeightsConfig
from eval.backbones.exported_programs import ExportedPrograms
from eval.backbones.preprocessing import center_crop, normalize
from src.core.media_io.audio_reader import read_audio
from src.core.media_io.video_reader import open_video


@cache
def load_programs(path: str) -> ExportedPrograms:
    """Return the programs of a folder.

    Raises:
        ValueError: the folder is missing or has no programs `video` and `audio`.
    """
    return ExportedPrograms(Network("contrastive", WeightsConfig(path=path)), ("video", "audio"))


def audio_video_cosine(path: Path, start_s: float, end_s: float, programs_path: str) -> float | None:
    """Return the mean cosine over windows of the programs' length; None for a clip that is shorter."""
    programs = load_programs(programs_path)
    video, audio = programs.specs["video"], programs.specs["audio"]
    num_windows = int((end_s - start_s) / audio.seconds + 1e-6)
    cosines = []
    for k in range(num_windows):
        begin = start_s + k * audio.seconds
        end = begin + audio.seconds
        samples_S = read_audio(path, rate=audio.rate, channels=1, start_s=begin, end_s=end).mono
        with open_video(path) as reader:
            frames = [frame.rgb_HWC for frame in reader.frames(begin, end, fps=video.fps)]
        frames_THWC = np.stack((frames + frames[-1:] * video.num_frames)[: video.num_frames])
        pixels = normalize(center_crop(frames_THWC, video.size), video.mean, video.std)
        video_D = unit_norm(programs.call("video", pixels[None])[0])
        cosines.append(float(video_D @ unit_norm(programs.call("audio", samples_S[None])[0])))
    return float(np.mean(cosines)) if cosines else None
