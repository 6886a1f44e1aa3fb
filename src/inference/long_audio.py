"""Sample audio longer than a model was trained for: windows, segments or one shot (Movie Gen, sec. 6.1).

All methods begin with the same noise, a tensor of the whole length. Memory grows with the latents and the
video's features alone; the transformer sees one window at a time.

Legend: B batch, C channels, N latent frames ([B, C, N, 1, 1] in the transformer).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from src.core import rng
from src.flow.noise import normal
from src.flow.solvers import OnStep
from src.flow.windows import window_starts, windowed_velocity
from src.inference.audio_sample import (
    AudioCondition,
    audio_noise,
    guided_velocity,
    sample_audio,
    sample_normalized,
    to_latents,
)
from src.inference.long_audio_config import LongAudioConfig
from src.training.modules.audio_config import AudioSamplerConfig
from src.training.modules.audio_model import AudioModel

SCORE_TIMES = (0.3, 0.6)  # flow times at which beams are compared


@dataclass(frozen=True)
class Layout:
    """Cuts of a length: windows of `size` latent frames every `hop`; one window for one shot."""

    size: int
    hop: int
    num_latents: int

    @property
    def starts(self) -> list[int]:
        return window_starts(self.num_latents, self.size, self.hop)

    @property
    def borders(self) -> list[int]:
        """Latent frames inside the audio at which a window begins or ends, ascending."""
        edges = {edge for start in self.starts for edge in (start, start + self.size)}
        return sorted(edge for edge in edges if 0 < edge < self.num_latents)

    def num_passes(self, config: LongAudioConfig) -> int:
        """Return how often the solver runs."""
        if config.method != "segments" or len(self.starts) == 1:
            return 1
        if config.num_beams == 1:
            return len(self.starts)
        passes, beams = 0, 1
        for _ in self.starts:
            passes += beams * config.num_branches
            beams = min(beams * config.num_branches, config.num_beams)
        return passes


def make_layout(
    config: LongAudioConfig, num_latents: int, trained_latents: int, latent_rate: float
) -> Layout:
    """Return the windows or segments of some length.

    Args:
        trained_latents: length of training, for `window_s: 0`.
    """
    size = round(config.window_s * latent_rate) or trained_latents
    if config.method == "one_shot" or num_latents <= size:
        return Layout(num_latents, num_latents, num_latents)
    if config.method == "windows":
        return Layout(size, max(round(size * config.hop_fraction), 1), num_latents)
    return Layout(size, size - min(round(size * config.context_fraction), size - 1), num_latents)


@torch.no_grad()
def sample_long(
    model: AudioModel,
    condition: AudioCondition,
    seeds: Sequence[int],
    sampler: AudioSamplerConfig,
    config: LongAudioConfig,
    layout: Layout,
    on_step: OnStep | None = None,
) -> Tensor:
    """Return latents [B, C, N] for the codec's decoder; `on_step` is called at the steps of all passes."""
    if len(layout.starts) == 1:
        return sample_audio(model, condition, seeds, sampler, on_step)
    if config.method == "segments":
        return _Segments(model, condition, list(seeds), sampler, layout, on_step).sample(config)
    noise = audio_noise(seeds, model.config.latent_channels, condition.num_latents, model.device)
    velocity = windowed_velocity(
        lambda start, stop: guided_velocity(model, condition.window(start, stop), sampler),
        condition.num_latents,
        layout.size,
        layout.hop,
    )
    return to_latents(model, sample_normalized(model, condition, noise, sampler, on_step, velocity))


@dataclass
class _Segments:
    """One segment after the other, each knowing the end of what was there before it."""

    model: AudioModel
    condition: AudioCondition
    seeds: list[int]
    sampler: AudioSamplerConfig
    layout: Layout
    on_step: OnStep | None

    def sample(self, config: LongAudioConfig) -> Tensor:
        """Return latents of the whole; with several beams, of the best."""
        c = self.condition
        num_branches = config.num_branches if config.num_beams > 1 else 1
        beams, scores = [c.known_BCN11], torch.zeros(1, len(self.seeds), device=self.model.device)
        for number, start in enumerate(self.layout.starts):
            found, found_scores = [], []
            for k, beam in enumerate(beams):
                for branch in range(num_branches):
                    x = self._continue(beam, number, start, k * num_branches + branch)
                    found.append(x)
                    found_scores.append(scores[k] + (self._score(x, start) if num_branches > 1 else 0.0))
            beams, scores = _best(found, torch.stack(found_scores), config.num_beams)
        return to_latents(self.model, beams[0])

    def _window(self, x: Tensor, number: int, start: int) -> AudioCondition:
        """Return a segment's condition: what is known, and of the segments before as much as overlaps."""
        stop = start + self.layout.size
        known_BN = self.condition.known_BN[:, start:stop].clone()
        if number:
            known_BN[:, : self.layout.starts[number - 1] + self.layout.size - start] = True
        return self.condition.window(start, stop).with_known(x[:, :, start:stop], known_BN)

    def _continue(self, x: Tensor, number: int, start: int, branch: int) -> Tensor:
        """Return a beam with one more segment."""
        window = self._window(x, number, start)
        size = self.layout.size
        noise = self._noise(branch, number)[:, :, start : start + size]
        out = x.clone()
        out[:, :, start : start + size] = sample_normalized(
            self.model, window, noise, self.sampler, self.on_step
        )
        return out

    def _noise(self, branch: int, number: int) -> Tensor:
        """Return noise of the whole length; branches after the first have their own at each segment."""
        channels, num = self.model.config.latent_channels, self.condition.num_latents
        if not branch:
            return audio_noise(self.seeds, channels, num, self.model.device)
        keys = [rng.key(seed, "generate/audio/branch", branch, number) for seed in self.seeds]
        return normal(keys, (channels, num, 1, 1), self.model.device)

    def _score(self, x: Tensor, start: int) -> Tensor:
        """Return the model's own loss on a segment under its condition, float32 [B]: lower fits better."""
        window = self.condition.window(start, start + self.layout.size)
        velocity = guided_velocity(self.model, window, self.sampler)
        clean = x[:, :, start : start + self.layout.size]
        keys = [rng.key(seed, "generate/audio/score") for seed in self.seeds]
        noise = normal(keys, clean.shape[1:], self.model.device)
        losses = []
        for time in SCORE_TIMES:
            t_B = torch.full((len(clean),), time, device=clean.device)
            error = velocity(noise + time * (clean - noise), t_B) - (clean - noise)
            losses.append(error.square().flatten(1).mean(1))
        return torch.stack(losses).mean(0)


def _best(found: list[Tensor], scores_KB: Tensor, num: int) -> tuple[list[Tensor], Tensor]:
    """Return the `num` beams of lowest score, chosen for each sample of the batch by itself."""
    num = min(num, len(found))
    order_KB = scores_KB.argsort(dim=0, stable=True)[:num]
    stacked, samples = torch.stack(found), torch.arange(scores_KB.shape[1], device=scores_KB.device)
    return [stacked[order_KB[k], samples] for k in range(num)], scores_KB.gather(0, order_KB)
