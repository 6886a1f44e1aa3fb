"""How near a reconstructed film is to its original, film by film and frame by frame.

Legend: B batch, C channels, T frames, H height, W width.
"""

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure


def film_scores(made_BCTHW: Tensor, video_BCTHW: Tensor) -> dict[str, Tensor]:
    """L1 of [-1, 1], PSNR in dB and SSIM of each film, the last two frame by frame and then averaged; [B]."""
    frames = {name: values_BT.mean(1) for name, values_BT in frame_scores(made_BCTHW, video_BCTHW).items()}
    return {"loss": (made_BCTHW - video_BCTHW).abs().flatten(1).mean(1), **frames}


def frame_scores(made_BCTHW: Tensor, video_BCTHW: Tensor) -> dict[str, Tensor]:
    """PSNR in dB (equal frames: 100) and SSIM of every frame of films in [-1, 1]; [B, T]."""
    B, _, T = made_BCTHW.shape[:3]
    made, video = (((x + 1) / 2).transpose(1, 2).flatten(0, 1) for x in (made_BCTHW, video_BCTHW))
    mse = (made - video).square().flatten(1).mean(1).clamp(min=1e-10)
    ssim = structural_similarity_index_measure(made, video, data_range=1.0, reduction="none")
    return {"psnr": (-10 * torch.log10(mse)).reshape(B, T), "ssim": ssim.reshape(B, T)}
