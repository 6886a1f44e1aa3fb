"""Generation in Python: load a model with its autoencoder, generate, save.

    from src.api import load
    model = load("weights/small")
    video = model.generate("A red ball moves right.", seed=1)
    video.frames_THWC                                   # uint8 tensor
    video.save("ball.mp4")

Legend: T frames, H height, W width, C channels, S audio samples.
"""

import io
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from src.core import rng
from src.core.errors import UserError
from src.core.media_io.audio_reader import read_audio
from src.flow.noise import normal
from src.flow.schedules import solver_times
from src.inference import run_defaults
from src.inference.config import GenerateConfig, SamplerOverrides
from src.inference.generate_audio import generate as generate_audio
from src.inference.generate_audio_config import GenerateAudioConfig
from src.inference.generated_video import PredictedFrames, Video
from src.inference.pipeline import VideoPipeline, check_format, first_frame_latent, format_warnings
from src.inference.prompts import PromptRequest
from src.inference.trajectory import Trajectory
from src.models.tae.tiling import decode_tiled, encode_tiled
from src.runs import loading
from src.runs.config import VideoRunConfig
from src.streaming.pixels import from_uint8, to_frames
from src.training.config import Precision

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "weights" / "small"
VIDEO_WEIGHTS = "video.safetensors"  # of a folder of weights, with tae.safetensors next to it
AUDIO_WEIGHTS = "audio.safetensors"  # there or not, with codec.safetensors next to it


class Model:
    """A video model and its autoencoder on one device; see `load`."""

    def __init__(self, config: GenerateConfig, audio: str = "") -> None:
        self._pipeline, self.audio = VideoPipeline(config), audio
        self._stage = loading.load_run_config(VideoRunConfig, Path(config.run))
        self.tae, self.transformer = self._pipeline.tae, self._pipeline.model.transformer
        self.device = self._pipeline.device

    @property
    def reads_images(self) -> bool:
        """True if videos can begin with a given image."""
        return self._pipeline.model.config.cond_channels > 0

    @property
    def format(self) -> run_defaults.VideoFormat:
        """Frames, size and frame rate of videos by default."""
        return self._pipeline.format

    @property
    def buckets(self) -> list[tuple[int, int, int]]:
        """Frames, height and width that the model was trained on; [] if that is unknown."""
        exported = loading.find_export(Path(self._pipeline.config.run))
        found = run_defaults.trained_buckets(self._stage, exported)
        return [(each.num_frames, each.height, each.width) for each in found]

    @property
    def sampler(self) -> SamplerOverrides:
        """Solver, steps and guidance by default."""
        s = self._pipeline.sampler
        return SamplerOverrides(
            solver=s.solver, schedule=s.schedule, num_steps=s.num_steps, guidance_scale=s.guidance_scale
        )

    def generate(
        self,
        prompt: str | Sequence[str],
        *,
        seed: int = 0,
        num_frames: int | None = None,
        height: int | None = None,
        width: int | None = None,
        fps: float | None = None,
        negative_prompt: str = "",
        image: str | Path = "",
        num_predictions: int = 0,
        with_audio: bool | None = None,
        **sampler: Any,
    ) -> Any:
        """Generate a `Video`, or of several prompts a list of them, each with the next seed.

        Args:
            num_frames, height, width, fps: None: the model's `format`; one frame is an image.
            image: first frame, for an image-to-video model.
            num_predictions: steps of sampling whose expected videos are decoded (`Video.predictions`).
            with_audio: also generate audio for the video; None: if there is an audio model.
            sampler: fields of `SamplerOverrides`, such as num_steps=50, guidance_scale=3.0.

        Raises:
            UserError: a size that the model cannot have, an unknown setting, or one without effect.
        """
        sizes = {"num_frames": num_frames, "height": height, "width": width, "fps": fps}
        pipeline = self._configured(sizes, str(image), sampler)
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        requests = [
            PromptRequest(f"{i:04d}", text, seed + i, {}, negative_prompt=negative_prompt)
            for i, text in enumerate(prompts)
        ]
        pipeline.check_requests(requests)
        trajectory = self._trajectory(pipeline, requests) if num_predictions else None
        latents = pipeline.sample(requests, on_step=trajectory.on_step if trajectory else None)
        frames = torch.from_numpy(pipeline.decode(latents))
        predicted = self._predicted_frames(pipeline, trajectory, num_predictions)
        warnings = [*pipeline.warnings]
        if cut := pipeline.truncated_ids(requests):
            warnings.append(f"{len(cut)} prompts are longer than the text encoder reads and are cut")
        videos = [
            Video(
                frames_THWC=frames[i],
                fps=pipeline.format.fps,
                prompt=request.prompt,
                seed=request.seed,
                predictions=tuple(PredictedFrames(step, t, each[i]) for step, t, each in predicted),
                warnings=tuple(warnings),
            )
            for i, request in enumerate(requests)
        ]
        if with_audio or (with_audio is None and self.audio and not pipeline.format.is_image):
            videos = [self.add_audio(video) for video in videos]
        return videos[0] if isinstance(prompt, str) else videos

    def add_audio(self, video: Video, *, seed: int | None = None) -> Video:
        """Return a video with generated audio of its length.

        Args:
            seed: of the audio; None: the video's.

        Raises:
            UserError: there is no audio model, or the video is an image.
        """
        if not self.audio:
            raise UserError("no audio model: give load(..., audio=RUN)")
        if len(video.frames_THWC) == 1:
            raise UserError("an image has no audio; give num_frames above 1")
        with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
            settings = GenerateAudioConfig(
                run=self.audio,
                videos=str(video.save(Path(folder, "video.mp4"))),
                out=str(Path(folder, "out")),
                seed=video.seed if seed is None else seed,
                device=self._pipeline.config.device,
                precision=self._pipeline.config.precision,
            )
            generate_audio(settings, [])
            [path] = Path(folder, "out", "audio").iterdir()
            audio = read_audio(path)
        return replace(video, audio_CS=torch.from_numpy(audio.samples_CS), sample_rate=audio.rate)

    @torch.inference_mode()
    def encode(self, frames_THWC: Tensor) -> Tensor:
        """Return the latent [1, C, T', H', W'] of frames uint8 [T, H, W, 3], the posterior's mean."""
        video_BCTHW = from_uint8(frames_THWC.permute(3, 0, 1, 2)[None]).to(self.device)
        return encode_tiled(self.tae, video_BCTHW, self._pipeline.config.tiling).mode()

    @torch.inference_mode()
    def decode(self, latent_BCTHW: Tensor, num_frames: int | None = None) -> Tensor:
        """Return frames uint8 [T, H, W, 3] of a latent of one video."""
        video_BCTHW = decode_tiled(self.tae, latent_BCTHW, num_frames, self._pipeline.config.tiling)
        return torch.from_numpy(to_frames(video_BCTHW))[0]

    def _configured(self, sizes: dict[str, Any], image: str, sampler: dict[str, Any]) -> VideoPipeline:
        """Return the pipeline with other settings; networks are shared."""
        try:
            overrides = SamplerOverrides(**sampler)
            config = replace(self._pipeline.config, **sizes, image=image, sampler=overrides)
            changed = overrides.apply(self._stage.flow.sampler)
        except (TypeError, ValueError) as error:
            raise UserError(str(error).replace("SamplerOverrides.__init__() got an ", "")) from error
        pipeline, model, tae = copy(self._pipeline), self._pipeline.model, self.tae
        pipeline.config, pipeline.sampler = config, changed
        pipeline.format = run_defaults.video_format(config, self._stage, tae.config)
        check_format(pipeline.format, model, tae)
        exported = loading.find_export(Path(config.run))
        buckets = run_defaults.trained_buckets(self._stage, exported)
        pipeline.warnings = format_warnings(pipeline.format, buckets)
        pipeline.first_BC1HW = first_frame_latent(config, pipeline.format, model, tae)
        return pipeline

    def _trajectory(self, pipeline: VideoPipeline, requests: list[PromptRequest]) -> Trajectory:
        if pipeline.sampler.solver == "adaptive" or pipeline.model.flow.objective != "flow_matching":
            raise UserError("predictions need flow matching and a solver with fixed steps: euler or midpoint")
        f = pipeline.format
        shape_CTHW = self.tae.latent_shape(f.num_frames, f.height, f.width)
        keys = [rng.key(request.seed, "generate/noise") for request in requests]
        return Trajectory(normal(keys, shape_CTHW, self.device), solver_times(pipeline.sampler))

    def _predicted_frames(
        self, pipeline: VideoPipeline, trajectory: Trajectory | None, num_predictions: int
    ) -> list[tuple[int, float, Tensor]]:
        """Return step, flow time and frames [B, T, H, W, C] of each prediction."""
        if trajectory is None:
            return []
        denormalize = pipeline.model.denormalize
        return [
            (each.step, each.t, torch.from_numpy(pipeline.decode(denormalize(each.data))))
            for each in trajectory.predictions(num_predictions)
        ]


def load(
    path: str | Path = SHIPPED,
    *,
    device: str = "auto",
    precision: Precision = "bf16",
    tae: str = "",
    audio: str = "",
) -> Model:
    """Load a video model and the autoencoder of its latents.

    Args:
        path: folder of weights (`video.safetensors` and `tae.safetensors`), run directory, checkpoint or
            exported file; relative to the working directory, else to the checkout.
        device: auto (CUDA if available), cpu, cuda or cuda:N.
        precision: fp32 or bf16 (where the device has it).
        tae: another run or file of the TAE.
        audio: run or file of an audio model; empty: `audio.safetensors` of the folder, if it is there.

    Raises:
        UserError: nothing is there, or the model and the TAE do not belong together.
    """
    run = Path(path)
    run = run if run.exists() else ROOT / run
    if not run.exists():
        raise UserError(f"{path}: neither a folder of weights, a run directory, a checkpoint nor a file")
    if (run / VIDEO_WEIGHTS).is_file():
        if not audio and (run / AUDIO_WEIGHTS).is_file():
            audio = str(run / AUDIO_WEIGHTS)
        run = run / VIDEO_WEIGHTS
    return Model(GenerateConfig(run=str(run), device=device, precision=precision, tae=tae), audio)
