"""Encoding and decoding of a long video in tiles, and a training step, of a TAE of the paper's size."""

import torch
from torch import Tensor

from benchmarks.gpu_check.bench import Bench, Row, Rows
from src.losses.reconstruction import l1_loss, psnr
from src.models.tae.model import TAE
from src.models.tae.tiling import decode_stream, encode_stream


class TiledTAE:
    """A TAE in bf16 on the tiles of a video, as generation and encoding of data sets use it."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        with bench.device:
            self.tae = TAE(bench.sizes.tae).eval()
        self.num_frames, self.height, self.width = bench.sizes.video
        length = bench.sizes.tiling.frames
        self.chunk = torch.rand(1, 3, length, self.height, self.width, device=bench.device) * 2 - 1

    @torch.no_grad()
    def encode(self) -> list[Tensor]:
        chunks = [self.chunk] * (self.num_frames // self.chunk.shape[2])
        with self.bench.autocast():
            return [each.mode() for each in encode_stream(self.tae, chunks, self.bench.sizes.tiling)]

    @torch.no_grad()
    def decode(self, latents: list[Tensor]) -> int:
        """Decode without keeping frames, as for a file; return their number."""
        with self.bench.autocast():
            return sum(each.shape[2] for each in decode_stream(self.tae, latents, self.bench.sizes.tiling))


def tiled_video(bench: Bench) -> Rows:
    """Time encoding and decoding of a video."""
    tiled = TiledTAE(bench)
    num_parameters = sum(p.numel() for p in tiled.tae.parameters())
    note = f"{tiled.num_frames} frames of {tiled.height} x {tiled.width}, {num_parameters / 1e6:.0f} M"
    latents = tiled.encode()
    for what, call in (("encode", tiled.encode), ("decode", lambda: tiled.decode(latents))):
        bench.reset_peak()
        seconds = bench.seconds(call, 1, 1)
        yield Row(what, seconds, "s", note)
        yield Row(f"{what}: frames", tiled.num_frames / seconds, "1/s")
        yield Row(f"{what}: peak memory", bench.peak_gb(), "GB")
    clip = tiled.chunk[:, :, : tiled.tae.config.temporal_factor]
    with torch.no_grad():
        exact = tiled.tae(clip).video_BCTHW
        with bench.autocast():
            rounded = tiled.tae(clip).video_BCTHW.float()
    yield Row("bf16 against fp32", float(psnr(rounded, exact).mean()), "dB", "untrained weights")


def tae_step(bench: Bench) -> Rows:
    """Time a training step with L1 and KL, without discriminator and perceptual loss."""
    with bench.device:
        tae = TAE(bench.sizes.tae).train()
    optimizer = torch.optim.AdamW(tae.parameters(), lr=1e-4, fused=True)
    _, height, width = bench.sizes.video
    video = torch.rand(1, 3, bench.sizes.tiling.frames // 2, height, width, device=bench.device) * 2 - 1
    noise = torch.zeros((), device=bench.device)

    def step() -> None:
        with bench.autocast():
            result = tae(video, noise)
        (l1_loss(result.video_BCTHW, video) + 1e-6 * result.posterior.kl().mean()).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    bench.reset_peak()
    yield Row("step", 1e3 * bench.seconds(step), "ms", f"{video.shape[2]} frames of {height} x {width}")
    yield Row("peak memory", bench.peak_gb(), "GB")
