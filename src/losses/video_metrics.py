"""Reconstruction metrics per video and per frame.

Legend: B batch, C channels, T frames, H height, W width.
"""

from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from src.losses.reconstruction import psnr


def score_videos(reconstruction_BCTHW: Tensor, video_BCTHW: Tensor) -> dict[str, Tensor]:
    """Return L1 for values in [-1, 1], PSNR in dB and SSIM of each video; [B].

    PSNR and SSIM are means over frames.
    """
    frames = {
        name: values_BT.mean(1) for name, values_BT in score_frames(reconstruction_BCTHW, video_BCTHW).items()
    }
    return {"loss": (reconstruction_BCTHW - video_BCTHW).abs().flatten(1).mean(1), **frames}


def score_frames(reconstruction_BCTHW: Tensor, video_BCTHW: Tensor) -> dict[str, Tensor]:
    """Return PSNR in dB (equal frames: 100) and SSIM of every frame, for values in [-1, 1]; [B, T]."""
    B, _, T = reconstruction_BCTHW.shape[:3]
    output, target = (x.transpose(1, 2).flatten(0, 1) for x in (reconstruction_BCTHW, video_BCTHW))
    ssim = structural_similarity_index_measure(
        (output + 1) / 2, (target + 1) / 2, data_range=1.0, reduction="none"
    )
    assert isinstance(ssim, Tensor)
    return {"psnr": psnr(output, target).reshape(B, T), "ssim": ssim.reshape(B, T)}
