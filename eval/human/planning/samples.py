"""Samples of several systems, aligned by id."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.core.manifest import Sample, read_manifest
from eval.human.config import StudyConfig
from eval.human.schema import Axis
from eval.loaders.benchmarks import stratified_subset
from eval.loaders.media_files import load_folder


@dataclass(frozen=True)
class Clip:
    """One system's sample with the folder that its paths are relative to."""

    root: Path
    sample: Sample

    def path(self, key: str) -> Path:
        """Return the path of a medium ("video", "image", "source", ...) that the sample names."""
        relative = getattr(self.sample, key)
        assert relative is not None, f"{self.sample.id} names no {key}"
        return self.root / relative


Clips = dict[str, dict[str, Clip]]
"""sample id -> system -> clip, with every system for every id."""


def load_clips(config: StudyConfig) -> tuple[Clips, list[str]]:
    """Return the clips of a study's prompts, and notes on what was left out.

    Raises:
        ValueError: a manifest is broken, ids or prompts differ between systems, or too few prompts remain.
    """
    if not config.manifests:
        raise ValueError('manifests: name the systems, as in "manifests={ours: FOLDER, baseline: FOLDER}"')
    found = {name: _read_system(name, path) for name, path in config.manifests.items()}
    first, *others = found
    common = [key for key in found[first] if all(key in found[name] for name in others)]
    notes = []
    missing = sorted({key for clips in found.values() for key in clips} - set(common))
    if missing:
        lacking = next(name for name in found if missing[0] not in found[name])
        if not config.common_only:
            raise ValueError(
                f"manifests: {len(missing)} ids are not in every system, first {missing[0]!r} (not in "
                f"{lacking}); set common_only=true to leave them out"
            )
        notes.append(f"{len(missing)} prompts that some system lacks are left out")
    if not common:
        raise ValueError(f"manifests: {', '.join(found)} have no id in common")
    for key in common:
        prompts = {name: clips[key].sample.prompt.strip() for name, clips in found.items()}
        if len(set(prompts.values())) > 1:
            other = next(name for name in others if prompts[name] != prompts[first])
            raise ValueError(
                f"manifests: {key!r} has different prompts: {prompts[first]!r:.60} in {first}, "
                f"{prompts[other]!r:.60} in {other}"
            )
    if config.num_prompts:
        samples = [found[first][key].sample for key in common]
        chosen = stratified_subset(samples, num=config.num_prompts, seed=config.seed)
        notes.append(f"a subset of {len(chosen)} of {len(common)} prompts, stratified by tags")
        common = [sample.id for sample in chosen]
    return {key: {name: clips[key] for name, clips in found.items()} for key in common}, notes


def load_gold_clips(config: StudyConfig, axes: Sequence[Axis]) -> Clips:
    """Return the study's own gold items: id -> "better" and "worse", whose tags name the axes.

    Raises:
        ValueError: the manifest is broken, a side is missing, or a tag names no axis of the study.
    """
    if not config.gold_manifest:
        return {}
    path = Path(config.gold_manifest)
    try:
        samples = read_manifest(path)
    except ValueError as error:
        raise ValueError(f"gold_manifest: {error}") from None
    found: Clips = {}
    for sample in samples:
        found.setdefault(f"gold {sample.id}", {})[sample.system] = Clip(path.resolve().parent, sample)
    known = {axis.id for axis in axes}
    for name, sides in found.items():
        if set(sides) != {"better", "worse"}:
            raise ValueError(f"{path}: {name}: expected the systems better and worse, got {', '.join(sides)}")
        tags = sides["better"].sample.tags
        if not tags or not set(tags) <= known:
            raise ValueError(f"{path}: {name}: tags must name axes of the study, got {list(tags)}")
    return found


def check_axes(clips: Clips, axes: Sequence[Axis]) -> None:
    """Check that every clip has what the axes play and show.

    Raises:
        ValueError: one line with the axis, the first sample and system that lack something.
    """
    for axis in axes:
        needs = ["image" if axis.media == "image" else axis.media, *axis.compares]
        for need in needs:
            for key, systems in clips.items():
                for name, clip in systems.items():
                    if not getattr(clip.sample, need):
                        raise ValueError(
                            f"axes: {axis.id} needs a {need} for every sample; {key!r} of {name} has none"
                        )


def _read_system(name: str, source: str) -> dict[str, Clip]:
    path = Path(source)
    if path.is_dir() and (path / "manifest.jsonl").is_file():
        path = path / "manifest.jsonl"
    try:
        samples = list(load_folder(path)) if path.is_dir() else read_manifest(path)
    except ValueError as error:
        raise ValueError(f"manifests.{name}: {error}") from None
    root = path if path.is_dir() else path.resolve().parent
    clips = {sample.id: Clip(root, sample) for sample in samples}
    if len(clips) != len(samples):
        raise ValueError(
            f"manifests.{name}: {path} has several samples of one id; it must have one system only"
        )
    return clips
