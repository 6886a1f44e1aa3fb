"""Generate every requested video into a directory, with a manifest.

Files are named by id and seed. A video's manifest line is written when its file is complete, so that an
interrupted command leaves a valid manifest of what is there.
"""

import json
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path

from rich.console import Console

from src.core import config, provenance
from src.core.errors import UserError
from src.core.launch import is_first_rank
from src.core.progress import ProgressReport
from src.inference.config import GenerateConfig
from src.inference.device import resolve_device
from src.inference.generate_audio import MANIFEST
from src.inference.generate_audio import generate as generate_audio
from src.inference.generate_audio_config import GenerateAudioConfig
from src.inference.hub_folder import resolve_folder
from src.inference.pipeline import VideoPipeline, output_path
from src.inference.prompt_rewriting import make_rewriter
from src.inference.prompts import PromptRequest, read_requests, rewrite_prompts
from src.parallel.process_group import barrier, joined_processes, on_first_rank
from src.runs import loading
from src.runs.run_directory import make_folder
from src.training.checkpoint_paths import find_checkpoint

WITH_AUDIO = "with_audio"  # folder of the videos with audio


def generate(settings: GenerateConfig, prompts: list[str]) -> Path:
    """Generate and write every requested video, and their audio if asked for; return the manifest's path.

    The processes of torchrun or srun take batches in round-robin order; what is written does not depend on
    their number.
    """
    settings = resolve_folder(settings)
    requests = read_requests(
        prompts, settings.prompts, settings.seed, settings.seeds_per_prompt, settings.negative_prompt
    )
    out = Path(settings.out or loading.run_folder(Path(settings.run)) / "generated")
    with joined_processes(resolve_device(settings.device).type):
        if not settings.overwrite:
            on_first_rank(lambda: refuse_existing(out, requests))
        pipeline = VideoPipeline(settings)
        pipeline.check_requests(requests)
        if settings.audio.run:
            if pipeline.format.is_image:
                raise UserError(
                    f"audio.run={settings.audio.run}: images have no audio; give num_frames above 1"
                )
            find_checkpoint(Path(settings.audio.run))  # refused now, not after the videos
        requests = rewrite_prompts(requests, make_rewriter(settings.rewrite, images=pipeline.format.is_image))
        if is_first_rank():
            print_notes(pipeline, requests)
        on_first_rank(lambda: start_output(pipeline, out))
        write_videos(pipeline, requests, out)
    if not settings.audio.run or not is_first_rank():
        return out / MANIFEST
    return generate_audio(audio_settings(settings, out), [])


def start_output(pipeline: VideoPipeline, out: Path) -> None:
    """Make the output folder and write its record."""
    make_folder(out, "out")
    write_record(pipeline, out)


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
    """Sample, decode and write batch by batch; a manifest line is written when its file is complete.

    With several groups of processes each has a manifest of its own (`.manifest-GROUP.jsonl`) until all are
    done.
    """
    groups, own = pipeline.num_groups, pipeline.group
    every = batches(requests, pipeline.config.batch_size)
    console = Console(highlight=False)
    if len(every) < groups and is_first_rank():
        console.print(f"{len(every)} batch(es) for {groups} groups of processes; a smaller batch_size helps")
    own_batches = every[own::groups]
    num_steps, done = pipeline.sampler.num_steps, 0
    if pipeline.writes_alone:
        file: Path | None = out / MANIFEST
    else:
        file = _part_of_manifest(out, own) if pipeline.is_writer else None
    bar = ProgressReport("generate", sum(map(len, own_batches)) * num_steps) if is_first_rank() else None
    with ExitStack() as stack:
        manifest = stack.enter_context(file.open("w", encoding="utf-8")) if file else None
        report = stack.enter_context(bar) if bar else None
        for batch in own_batches:
            latents = pipeline.sample(batch, on_step=lambda i, x: report.advance(len(x)) if report else None)
            for entry in pipeline.write(batch, pipeline.decode(latents), out) if manifest else ():
                manifest.write(json.dumps(entry) + "\n")
                manifest.flush()
            done += len(batch)
            if report:
                report.update(done * num_steps)  # adaptive solvers take other numbers of steps
        if pipeline.samples_together and len(own_batches) < len(every[::groups]):
            pipeline.sample(every[0])  # the other groups need this one's shards
    if not pipeline.writes_alone:
        barrier()
        on_first_rank(lambda: merge_manifests(every, groups, out))
    if is_first_rank():
        console.print(f"{len(requests)} files and their manifest: {out / MANIFEST}", soft_wrap=True)


def merge_manifests(every: list[list[PromptRequest]], groups: int, out: Path) -> None:
    """Write the manifest of all groups, in the order of the requests, and remove theirs."""
    parts = [_part_of_manifest(out, group) for group in range(groups)]
    lines = [iter(path.read_text(encoding="utf-8").splitlines(keepends=True)) for path in parts]
    merged = [next(lines[number % groups]) for number, batch in enumerate(every) for _ in batch]
    (out / MANIFEST).write_text("".join(merged), encoding="utf-8")
    for path in parts:
        path.unlink()


def _part_of_manifest(out: Path, group: int) -> Path:
    return out / f".manifest-{group}.jsonl"


def batches(requests: list[PromptRequest], size: int) -> list[list[PromptRequest]]:
    """Return consecutive requests in batches of at most `size`, each with one negative prompt."""
    groups = [list(group) for _, group in groupby(requests, key=lambda request: request.negative_prompt)]
    return [group[i : i + size] for group in groups for i in range(0, len(group), size)]
