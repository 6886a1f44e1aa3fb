"""The samples that a run is about: those of a manifest, or the media files of a folder."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from eval.core.manifest import MEDIA_KEYS, Sample, iter_manifest
from eval.loaders.media_files import load_folder
from eval.loaders.prompt_files import read_prompts


@dataclass(frozen=True)
class SampleSet:
    """Samples that can be iterated over again; their media are relative to `root`."""

    path: Path
    root: Path
    samples: tuple[Sample, ...] | None = None

    def __iter__(self) -> Iterator[Sample]:
        yield from iter_manifest(self.path, check_files=False) if self.samples is None else self.samples

    def check(self) -> None:
        """Read all samples; raise ValueError, as `PATH:LINE: reason`, for the first that is invalid."""
        for _ in self:
            pass


def open_samples(path: str, *, prompts: str = "", originals: str = "") -> SampleSet:
    """Return the samples of a manifest, or of a folder of media files.

    Args:
        prompts: of a folder, a file with the prompts; empty reads the .txt file of each video, if any.
        originals: of a folder, another one. If it has a file for every sample, under the same name, these are
            the samples' references, as reconstructions have them.

    Raises:
        ValueError: the path is neither, or the folder or the prompts cannot be read.
    """
    if not Path(path).is_dir():
        if prompts:
            raise ValueError(f"prompts: {path} is a manifest, which holds prompts; only folders need them")
        return SampleSet(Path(path), Path(path).resolve().parent)
    folder = Path(path).resolve()
    samples = list(load_folder(folder))
    if prompts:
        texts = read_prompts(prompts, [sample.id for sample in samples])
        samples = [replace(each, prompt=texts[each.id]) for each in samples]
    root = folder
    if originals and Path(originals).is_dir():
        paired = pair_with_originals(samples, folder, Path(originals).resolve())
        if paired is not None:
            root, samples = paired
    return SampleSet(Path(path), root, tuple(samples))


def pair_with_originals(
    samples: list[Sample], folder: Path, originals: Path
) -> tuple[Path, list[Sample]] | None:
    """Return samples with references, relative to a common folder; None if some sample has no original."""
    found = {(each.id, _main_key(each)): each for each in load_folder(originals)}
    if not all((each.id, _main_key(each)) in found for each in samples):
        return None
    root = Path(os.path.commonpath([folder, originals]))
    below, other = folder.relative_to(root), originals.relative_to(root)
    moved = []
    for sample in samples:
        paths = {key: (below / path).as_posix() for key in MEDIA_KEYS if (path := getattr(sample, key))}
        key = _main_key(sample)
        original = getattr(found[sample.id, key], key)
        moved.append(replace(sample, **{**paths, "reference": (other / original).as_posix()}))
    return root, moved


def _main_key(sample: Sample) -> str:
    """Return which of its media a sample is about."""
    return next(key for key in ("video", "image", "audio") if getattr(sample, key))
