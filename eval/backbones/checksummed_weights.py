"""Networks by path: what the user names, what its bytes are, and how a program on disk is loaded.

Every network that metrics need goes by a role (`clip`, `i3d`, ...): `weights.ROLE.path=...`, and the sha256
of what was loaded is in every record. Nothing is downloaded but clean-fid's Inception, and that only where
its path says `download`.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from eval.backbones.extractor import checked_weights, file_sha256
from src.core.fields import opt

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
    "viclip": "folder of towers `video` and `text`",
    "imagebind": "folder of towers `video` and `sound`",
    "synchformer": "folder of the tower `sync`",
    "face": "folder of the tower `image`, and of `detector` if there is one",
}


DOWNLOAD = "download"


@dataclass(frozen=True, kw_only=True)
class WeightsConfig:
    """Where a network lies on this machine."""

    path: str = opt(
        "???", "file or folder, as the role wants it (docs/evaluation.md); inception: or `download`"
    )
    sha256: str = opt("", "checksum that it must have; empty takes any")


class Network:
    """A role's file or folder. The checksum is taken once and travels to worker processes."""

    def __init__(self, role: str, config: WeightsConfig) -> None:
        self.role = role
        self.path = downloaded(role) if config.path == DOWNLOAD else Path(config.path)
        if ROLES[role].startswith("folder"):
            self.sha256 = folder_sha256(self.path, config.sha256)
        else:
            self.sha256 = checked_weights(self.path, config.sha256)

    def describe(self) -> dict[str, Any]:
        return {"backbone": f"{self.role}: {self.path.name}", "weights_sha256": self.sha256}


class Networks:
    """The networks that a config names, each made once and shared by all metrics that use it."""

    def __init__(self, weights: Mapping[str, WeightsConfig]) -> None:
        for role in weights:
            if role not in ROLES:
                raise ValueError(f"weights: {role!r} is no role; there are {', '.join(ROLES)}")
        self.weights, self._made = weights, dict[Any, Any]()

    def __contains__(self, role: str) -> bool:
        return role in self.weights

    def get(self, role: str, user: str) -> Network:
        """The network of a role.

        Args:
            user: who needs it, for the message.

        Raises:
            ValueError: where no path is given, or there is nothing, or something else, at it.
        """
        if role not in self.weights:
            raise ValueError(f"{user}: needs weights.{role}.path=..., a {ROLES[role]}; nothing is downloaded")
        return self.once(role, lambda: Network(role, self.weights[role]))

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` gives, made at the first call for this key."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


def downloaded(role: str) -> Path:
    """Where torch keeps what it downloads, after asking clean-fid's address for a file that is not there yet.

    Raises:
        ValueError: for other roles than inception, and where the file cannot be had.
    """
    if role != "inception":
        raise ValueError(f"weights.{role}: only inception can be downloaded; pass a {ROLES[role]}")
    import torch.hub
    from cleanfid.downloads_helper import inception_url

    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(inception_url).name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(inception_url, str(path))
        except OSError as error:  # no network, no such address, no room
            raise ValueError(
                f"weights.{role}: cannot download {inception_url} ({error}); pass a path"
            ) from None
    return path


def folder_sha256(path: Path, wanted: str = "") -> str:
    """sha256 over names and checksums of all files of a folder, in order of their names.

    Raises:
        ValueError: for a missing or empty folder, or another checksum than the wanted one.
    """
    if not path.is_dir():
        raise ValueError(f"weights: no such folder: {path}; nothing is downloaded, put it there yourself")
    files = sorted(each for each in path.rglob("*") if each.is_file() and ".cache" not in each.parts)
    if not files:
        raise ValueError(f"weights: the folder is empty: {path}")
    whole = sha256()
    for each in files:
        whole.update(f"{each.relative_to(path).as_posix()} {file_sha256(each)}\n".encode())
    if wanted and whole.hexdigest() != wanted.lower():
        raise ValueError(f"weights: {path} has sha256 {whole.hexdigest()}, expected {wanted}")
    return whole.hexdigest()


def load_program(path: Path) -> Callable[..., Any]:
    """A TorchScript file, or an exported program (torch.export.save) where the name ends in .pt2.

    Raises:
        ValueError: for a file that is neither.
    """
    status = path.stat()
    return _program(path, status.st_mtime_ns, status.st_size)


@cache
def _program(path: Path, _changed: int, _size: int) -> Callable[..., Any]:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, and is what the field's files are
        try:
            if path.suffix == ".pt2":
                return torch.export.load(path).module()
            return torch.jit.load(str(path), map_location="cpu").eval()
        except Exception as error:  # zip, pickle and C++ have many types; each means that it is no program
            kind = "exported program" if path.suffix == ".pt2" else "TorchScript file"
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(f"weights: {path} is no {kind} ({reason})") from None


def load_state(path: Path) -> dict[str, Any]:
    """A state dict of tensors, from .safetensors or from torch.save.

    Raises:
        ValueError: for anything else.
    """
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # as above
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"weights: {path} is no state dict ({reason})") from None
    if not isinstance(state, dict):
        raise ValueError(f"weights: {path} holds a {type(state).__name__}, expected a state dict")
    return state
