"""Settings of networks on the user's disk; this module imports no torch."""

from dataclasses import dataclass
from typing import Literal

from src.core.fields import Config, opt

ROLES = {
    "clip": "folder of a transformers CLIPModel (VBench: ViT-B/32)",
    "clip_l14": "folder of a transformers CLIPModel ViT-L/14, which the aesthetic head reads",
    "clap": "folder of a transformers ClapModel",
    "dino": "folder of a transformers ViTModel or Dinov2Model (VBench: dino-vitb16)",
    "vgg16": "torchvision's VGG-16 state dict",
    "alexnet": "torchvision's AlexNet state dict",
    "inception": "clean-fid's TorchScript Inception, inception-2015-12-05.pt",
    "i3d": "TorchScript I3D of Kinetics-400, i3d_torchscript.pt",
    "raft": "torchvision's raft_large or raft_small state dict",
    "interpolation": "program: two frames [1,3,H,W] in 0..1 -> the one between (VBench: AMT-S)",
    "aesthetic": "state dict of LAION's linear head, sa_0_4_vit_l_14_linear.pth",
    "musiq": "program: frame [1,3,H,W] in 0..1 -> score in 0..100 (VBench: MUSIQ-SPAQ)",
    "viclip": "folder of exported programs `video` and `text`",
    "imagebind": "folder of exported programs `video` and `audio`",
    "contrastive": "folder of exported programs `video` and `audio` (src.export of a contrastive run)",
    "synchformer": "folder of the exported program `sync`",
    "face": "folder of the exported program `image`, and of `detector` if there is one",
}
"""Files and folders of the roles. A value that begins with "folder" is a folder, all others are files."""

DOWNLOAD = "download"


@dataclass(frozen=True, kw_only=True)
class WeightsConfig(Config):
    """A network's file or folder on this machine."""

    path: str = opt("???", "file or folder of the role (docs/evaluation.md); inception: or `download`")
    sha256: str = opt("", "expected checksum; empty accepts any")


@dataclass(frozen=True, kw_only=True)
class ClipsConfig(Config):
    """Clips of a video that FVD is computed over."""

    num_frames: int = opt(16, "frames of a clip; I3D takes 10 or more", ge=10)
    fps: float = opt(0.0, "frame rate to resample to first, by repeating and dropping; 0: as decoded", ge=0)
    num_clips: int = opt(
        1, "clips of a video, evenly from start to end; a single one lies in the middle", ge=1
    )


@dataclass(frozen=True, kw_only=True)
class UserProgramConfig(Config):
    """A TorchScript file or exported program (.pt2), and its input."""

    path: str = opt("???", "TorchScript file or exported program on this machine")
    sha256: str = opt("", "expected checksum; empty accepts any")
    input: Literal["frames", "clip", "audio"] = opt(
        "frames", "frames: [N,3,H,W]; clip: [1,3,T,H,W]; audio: [1,S] mono"
    )
    size: int = opt(299, "height and width in pixels that frames are resized to", ge=1)
    num_frames: int = opt(
        16, "frames, evenly over the video; for a clip, consecutive ones from its middle", ge=1
    )
    mean: float = opt(0.0, "pixels in 0..255 become (x - mean) / scale")
    scale: float = opt(1.0, "see mean")
    rate: int = opt(16000, "sample rate of audio, Hz", ge=1)
    arguments: dict[str, bool] = opt({}, "further arguments of the module, such as return_features: true")
    logits: bool = opt(False, "the rows are a classifier's logits: inception score and KL are meaningful")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.scale:
            raise ValueError("scale: must not be 0")
