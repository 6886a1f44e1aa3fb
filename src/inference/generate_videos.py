"""Generate every requested video into a directory, with a manifest.

Files are named by id and seed. A video's manifest line is written when its file is complete, so that an
interrupted command leaves a valid manifest of what is there.
"""

import json
from itertools import groupby
from pathlib import Path

from rich.console import Console

from src.core import config, provenance
from src.core.errors import UserError
from src.core.progress import ProgressReport
from src.inference.config import GenerateConfig
from src.inference.generate_audio import MANIFEST
from src.inference.generate_audio import generate as generate_audio
from src.inference.generate_audio_config import GenerateAudioConfig
from src.inference.pipeline import VideoPipeline, output_path
from src.inference.prompt_rewriting import make_rewriter
from src.inference.prompts import PromptRequest, read_requests, rewrite_prompts
from src.runs import loading
from src.runs.run_directory import make_folder
from src.training.checkpoint_paths import find_checkpoint

WITH_AUDIO = "with_audio"  # folder of the videos with audio


def generate(settings: GenerateConfig, prompts: list[str]) -> Path:
    """Generate and write every requested video, and their audio if asked for; return the manifest's path."""
    requests = read_requests(
        prompts, settings.prompts, settings.seed, settings.seeds_per_prompt, settings.negative_prompt
    )
    out = Path(settings.out or loading.run_folder(Path(settings.run)) / "generated")
    if not settings.overwrite:
        refuse_existing(out, requests)
    pipeline = VideoPipeline(settings)
    pipeline.check_requests(requests)
    if settings.audio.run:
        if pipeline.format.is_image:
            raise UserError(f"audio.run={settings.audio.run}: images have no audio; give num_frames above 1")
        find_checkpoint(Path(settings.audio.run))  # refused now, not after the videos
    requests = rewrite_prompts(requests, make_rewriter(settings.rewrite, images=pipeline.format.is_image))
    print_notes(pipeline, requests)
    make_folder(out, "out")
    write_record(pipeline, out)
    write_videos(pipeline, requests, out)
    if not settings.audio.run:
        return out / MANIFEST
    return generate_audio(audio_settings(settings, out), [])


def audio_settings(settings: GenerateConfig, out: Path) -> GenerateAudioConfig:
    """Return the settings of giving audio to the videos of a finished manifest."""
    return GenerateAudioConfig(
        run=settings.audio.run,
        codec=settings.audio.codec,
        videos=str(out / MANIFEST),
        captions=settings.audio.text == "prompt",
        out=str(out / WITH_AUDIO),
        overwrite=settings.overwrite,
        seed=settings.seed,
        device=settings.device,
        precision=settings.precision,
        crf=settings.crf,
        loudness_lufs=settings.audio.loudness_lufs,
    )


def refuse_existing(out: Path, requests: list[PromptRequest]) -> None:
    """Raise UserError if the output directory has a manifest, or a file that this command would replace."""
    paths = [
        out / MANIFEST,
        *(out / output_path(r, is_image) for r in requests for is_image in (False, True)),
    ]
    existing = next(filter(Path.exists, paths), None)
    if existing is not None:
        raise UserError(f"{existing} exists; give another out=... or overwrite=true")


def print_notes(pipeline: VideoPipeline, requests: list[PromptRequest]) -> None:
    """Print warnings, prompts that are truncated, and rewritten prompts."""
    console = Console(highlight=False, markup=False)
    truncated = pipeline.truncated_ids(requests)
    warnings = list(pipeline.warnings)
    if truncated:
        ids = ", ".join(truncated[:8]) + (", ..." if len(truncated) > 8 else "")
        warnings.append(
            f"{len(truncated)} of {len(requests)} prompts are longer than the text encoder's limit and are "
            f"truncated: {ids}"
        )
    for warning in warnings:
        console.print(f"warning: {warning}", soft_wrap=True)
    rewritten = {request.prompt: request.rewritten for request in requests if request.rewritten is not None}
    for prompt, text in rewritten.items():
        console.print(f"prompt:    {prompt}\nrewritten: {text}", soft_wrap=True)


def write_record(pipeline: VideoPipeline, out: Path) -> None:
    """Write settings, checkpoint and provenance to generation.json."""
    record = {
        "settings": config.to_dict(pipeline.config),
        "format": vars(pipeline.format),
        "sampler": config.to_dict(pipeline.sampler),
        "checkpoint": str(find_checkpoint(Path(pipeline.config.run))),
        "provenance": provenance.collect(),
    }
    (out / "generation.json").write_text(json.dumps(record, indent=1), encoding="utf-8")


def write_videos(pipeline: VideoPipeline, requests: list[PromptRequest], out: Path) -> None:
    """Sample, decode and write batch by batch; a manifest line is written when its file is complete."""
    num_steps, done, count = pipeline.sampler.num_steps, 0, 0
    report = ProgressReport("generate", len(requests) * num_steps)
    with (out / MANIFEST).open("w", encoding="utf-8") as manifest, report:
        for batch in batches(requests, pipeline.config.batch_size):
            latents = pipeline.sample(batch, on_step=lambda i, x: report.advance(len(x)))
            for entry in pipeline.write(batch, pipeline.decode(latents), out):
                manifest.write(json.dumps(entry) + "\n")
                manifest.flush()
                count += 1
            done += len(batch)
            report.update(done * num_steps)  # adaptive solvers take other numbers of steps
    console = Console(highlight=False)
    console.print(f"{count} files and their manifest: {out / MANIFEST}", soft_wrap=True)


def batches(requests: list[PromptRequest], size: int) -> list[list[PromptRequest]]:
    """Return consecutive requests in batches of at most `size`, each with one negative prompt."""
    groups = [list(group) for _, group in groupby(requests, key=lambda request: request.negative_prompt)]
    return [group[i : i + size] for group in groups for i in range(0, len(group), size)]
