"""Networks that the user names by role and path, with their checksums, and loaders of programs and weights.

Every network that metrics need has a role (`clip`, `i3d`, ...): `weights.ROLE.path=...`. The sha256 of the
loaded file is in every record. Nothing is downloaded, except clean-fid's Inception if its path is `download`.
"""

import warnings
from collections.abc import Callable, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from eval.backbones.config import DOWNLOAD, ROLES, WeightsConfig
from eval.core.checksums import verified_sha256
from src.core.hashing import file_sha256


class Network:
    """File or folder of a role. The checksum is computed once and pickled to worker processes."""

    def __init__(self, role: str, config: WeightsConfig) -> None:
        self.role = role
        self.path = download(role) if config.path == DOWNLOAD else Path(config.path)
        if ROLES[role].startswith("folder"):
            self.sha256 = folder_sha256(self.path, config.sha256)
        else:
            self.sha256 = verified_sha256(self.path, config.sha256)

    def describe(self) -> dict[str, Any]:
        return {"backbone": f"{self.role}: {self.path.name}", "weights_sha256": self.sha256}


class Networks:
    """The networks of a config, each loaded once and shared by all metrics that use it."""

    def __init__(self, weights: Mapping[str, WeightsConfig]) -> None:
        for role in weights:
            if role not in ROLES:
                raise ValueError(f"weights: {role!r} is not a role; expected one of {', '.join(ROLES)}")
        self.weights, self._cache = weights, dict[Any, Any]()

    def __contains__(self, role: str) -> bool:
        return role in self.weights

    def get(self, role: str, user: str) -> Network:
        """Return the network of a role.

        Args:
            user: name of the metric or backbone that needs it, for the message.

        Raises:
            ValueError: no path is given, or the file is missing or has another checksum.
        """
        if role not in self.weights:
            raise ValueError(f"{user}: needs weights.{role}.path=..., a {ROLES[role]}; nothing is downloaded")
        return self.once(role, lambda: Network(role, self.weights[role]))

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return the result of the first call of `make` for this key."""
        if key not in self._cache:
            self._cache[key] = make()
        return self._cache[key]


def download(role: str) -> Path:
    """Return the path of clean-fid's Inception in torch's download folder, downloading it if missing.

    Raises:
        ValueError: the role is not inception, or the download failed.
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
        except OSError as error:  # no network, unknown address, full disk
            raise ValueError(
                f"weights.{role}: cannot download {inception_url} ({error}); pass a path"
            ) from None
    return path


def folder_sha256(path: Path, expected: str = "") -> str:
    """Return the sha256 over names and checksums of all files of a folder, sorted by name.

    Raises:
        ValueError: the folder is missing or empty, or its checksum is not the expected one.
    """
    if not path.is_dir():
        raise ValueError(
            f"weights: no such folder: {path}; nothing is downloaded, pass a folder on this machine"
        )
    files = sorted(each for each in path.rglob("*") if each.is_file() and ".cache" not in each.parts)
    if not files:
        raise ValueError(f"weights: the folder is empty: {path}")
    digest = sha256()
    for each in files:
        digest.update(f"{each.relative_to(path).as_posix()} {file_sha256(each)}\n".encode())
    if expected and digest.hexdigest() != expected.lower():
        raise ValueError(f"weights: {path} has sha256 {digest.hexdigest()}, expected {expected}")
    return digest.hexdigest()


def load_program(path: Path) -> Callable[..., Any]:
    """Load a TorchScript file, or an exported program (torch.export.save) if the name ends in .pt2.

    Programs are cached by path, time of change and size.

    Raises:
        ValueError: the file is neither.
    """
    status = path.stat()
    return _load_program(path, status.st_mtime_ns, status.st_size)


@cache
def _load_program(path: Path, _changed: int, _size: int) -> Callable[..., Any]:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, but published networks use it
        try:
            if path.suffix == ".pt2":
                return torch.export.load(path).module()
            return torch.jit.load(str(path), map_location="cpu").eval()
        except Exception as error:  # zip, pickle and C++ raise many types; each means a bad file
            kind = "exported program" if path.suffix == ".pt2" else "TorchScript file"
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(f"weights: {path} is not a valid {kind} ({reason})") from None


def load_state(path: Path) -> dict[str, Any]:
    """Load a state dict of tensors from .safetensors or torch.save.

    Raises:
        ValueError: the file is something else.
    """
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # as above
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"weights: {path} is not a state dict ({reason})") from None
    if not isinstance(state, dict):
        raise ValueError(f"weights: {path} holds a {type(state).__name__}, expected a state dict")
    return state
