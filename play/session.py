"""The model behind the page: videos of prompts, reconstructions of uploads; one at a time."""

import math
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from play.config import PlayConfig
from play.prompts import builder_words
from play.verdict import check_video
from src.api import Model, Video, load
from src.core.errors import UserError
from src.core.media_io.errors import MediaError
from src.core.media_io.image_reader import read_image
from src.core.media_io.image_writer import write_image
from src.core.media_io.paths import resolve_inside
from src.core.media_io.preview_writer import encode_preview
from src.inference.run_defaults import largest_possible_bucket
from src.losses.reconstruction import psnr
from src.streaming.pixels import from_uint8

MAX_SIDES = 4  # sizes offered along each side
NUMBERS = {"num_frames": int, "height": int, "width": int, "seed": int, "num_steps": int}
FRACTIONS = {"fps": float, "guidance_scale": float}


class PlaySession:
    """A model, and the folder that its videos are written to."""

    def __init__(self, settings: PlayConfig) -> None:
        self.settings = settings
        self.model: Model = load(
            settings.run,
            device=settings.device,
            precision=settings.precision,
            tae=settings.tae,
            audio=settings.audio,
        )
        self.out = Path(settings.out)
        self.out.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._number = max((int(p.name) for p in self.out.iterdir() if p.name.isdecimal()), default=0)

    def options(self) -> dict[str, Any]:
        """Return what the page offers, as plain JSON."""
        model, tae = self.model, self.model.tae.config
        largest = largest_possible_bucket(model.transformer.config, tae)
        unit = tae.spatial_factor * model.transformer.config.patch[1]
        trained = [f"{width}x{height}" for _, height, width in model.buckets]
        sides = range(unit, max(largest.height, largest.width) + 1, unit)[-MAX_SIDES:]
        others = [f"{w}x{h}" for w in sides for h in sides if w <= largest.width and h <= largest.height]
        step = tae.temporal_factor * model.transformer.config.patch[0]
        f, sampler = model.format, model.sampler
        return {
            "run": self.settings.run,
            "device": str(model.device),
            "reads_images": model.reads_images,
            "lengths": sorted({1, *range(step, largest.num_frames + 1, step), f.num_frames}),
            "sizes": list(dict.fromkeys([*trained, *others])),
            "trained_sizes": trained,
            "rates": sorted({8.0, 16.0, 24.0, f.fps}),
            "defaults": {
                "num_frames": f.num_frames,
                "size": f"{f.width}x{f.height}",
                "fps": f.fps,
                "num_steps": sampler.num_steps,
                "guidance_scale": sampler.guidance_scale,
            },
            "words": builder_words(),
        }

    def generate(self, request: dict[str, Any]) -> dict[str, Any]:
        """Generate one video and check it; return what the page shows, with paths below `out`.

        Raises:
            UserError: a setting that is no number, or that the model refuses.
        """
        settings = read_settings(request)
        prompt = str(request.get("prompt", "")).strip()
        if not prompt:
            raise UserError("the prompt is empty")
        image = str(request.get("image", ""))
        with self._lock:
            started = time.monotonic()
            video: Video = self.model.generate(
                prompt,
                num_predictions=self.settings.num_predictions,
                image=resolve_inside(self.out, image) if image and self.model.reads_images else "",
                **settings,
            )
            return self._written(video, time.monotonic() - started)

    def _written(self, video: Video, seconds: float) -> dict[str, Any]:
        folder = self._new_folder()
        is_image = len(video.frames_THWC) == 1
        path = video.save(folder / ("image.png" if is_image else "video.mp4"))
        return {
            "prompt": video.prompt,
            "seed": video.seed,
            "kind": "image" if is_image else "video",
            "path": self._relative(path),
            "seconds": round(seconds, 2),
            "has_audio": video.audio_CS is not None,
            "warnings": list(video.warnings),
            "verdict": check_video(video.frames_THWC.numpy(), video.fps, video.prompt),
            "trajectory": [
                {"step": each.step, "t": round(each.t, 3), "path": self._preview(folder, each.step, each)}
                for each in video.predictions
            ],
        }

    def _preview(self, folder: Path, step: int, predicted: Any) -> str:
        path = folder / f"step_{step:03d}.gif"
        path.write_bytes(encode_preview(predicted.frames_THWC.numpy(), self.model.format.fps))
        return self._relative(path)

    def upload(self, data: bytes) -> dict[str, Any]:
        """Reconstruct an uploaded image by the autoencoder; keep it as a first frame.

        Raises:
            UserError: not an image.
        """
        try:
            image_HWC = read_image(data)
        except MediaError as error:
            raise UserError(f"not an image: {error}") from error
        f = self.model.format
        fitted = ImageOps.fit(Image.fromarray(image_HWC), (f.width, f.height), Image.Resampling.LANCZOS)
        pixels_THWC = torch.from_numpy(np.array(fitted))[None]
        with self._lock:
            found_THWC = self.model.decode(self.model.encode(pixels_THWC), 1)
            folder = self._new_folder()
        pair = from_uint8(pixels_THWC), from_uint8(found_THWC)
        decibels = float(psnr(*pair)[0])
        for name, frames in (("image", pixels_THWC), ("reconstruction", found_THWC)):
            write_image(folder / f"{name}.png", frames[0].numpy())
        return {
            "image": self._relative(folder / "image.png"),
            "reconstruction": self._relative(folder / "reconstruction.png"),
            "psnr": round(decibels, 1) if math.isfinite(decibels) else None,
            "is_first_frame": self.model.reads_images,
        }

    def _new_folder(self) -> Path:
        self._number += 1
        folder = self.out / f"{self._number:05d}"
        folder.mkdir()
        return folder

    def _relative(self, path: Path) -> str:
        return str(path.relative_to(self.out))


def read_settings(request: dict[str, Any]) -> dict[str, Any]:
    """Return the sizes and sampler settings of a request; absent ones are left out.

    Raises:
        UserError: a value is no number.
    """
    settings: dict[str, Any] = {}
    for name, kind in {**NUMBERS, **FRACTIONS}.items():
        value = request.get(name)
        if value in (None, ""):
            continue
        try:
            settings[name] = kind(value)
        except (TypeError, ValueError) as error:
            raise UserError(f"{name}: expected a number, got {value!r}") from error
    return settings
