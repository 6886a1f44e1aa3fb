"""Sampling with few steps against many (Movie Gen, sec. 3.4.2).

    python -m src.train configs/studies/sampler_steps.yaml generate.run=RUN generate.prompts=PROMPTS.jsonl

Every variant generates the same videos from the same noise, with its own schedule. Measured: the distance of
its latents, and the PSNR of its frames, to those of the reference; and finally the Bounce checker's scores.
Finished batches are kept, so that an interrupted study resumes. RUN_DIR/VARIANT holds videos and latents,
RUN_DIR/scores the checker's results (report.html shows the variants); results.json and table.md hold the
results so far, rewritten after every variant; sampler_steps.png is plotted at the end.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from safetensors.torch import load_file, save_file
from torch import Tensor

from src.core import config as configs
from src.core.atomic import atomic_write
from src.core.errors import UserError
from src.core.progress import ProgressReport
from src.flow.config import SamplerConfig
from src.inference.pipeline import VideoPipeline
from src.inference.prompt_rewriting import make_rewriter
from src.inference.prompts import PromptRequest, read_requests, rewrite_prompts
from src.runs.run_directory import locked_run_dir, refuse_changed_settings
from src.runs.steps import capture_output
from src.studies.config import REFERENCE, SamplerStepsConfig, SamplerVariant
from src.studies.sampler_report import VariantResult, compare, plot, write_results
from src.training.checkpoint_paths import find_checkpoint


def run(config: SamplerStepsConfig) -> None:
    """Generate, score and compare all that is missing."""
    root, console = Path(config.run_dir), Console(highlight=False)
    with locked_run_dir(root, config, compare=False):
        requests = read_study_requests(config)
        pipeline = VideoPipeline(config.generate)
        pipeline.check_requests(requests)
        rewriter = make_rewriter(config.generate.rewrite, images=pipeline.format.is_image)
        requests = rewrite_prompts(requests, rewriter)
        results: list[VariantResult] = []
        entries: list[dict[str, Any]] = []
        for name, variant in config.all_variants().items():
            folder = root / name
            refuse_changed_variant(folder, config, variant)
            sampler = config.sampler(variant).apply(pipeline.sampler)
            entries += generate_variant(pipeline, requests, sampler, folder)
            num_batches = -(-len(requests) // config.generate.batch_size)
            pairs = _latent_pairs(root / REFERENCE, folder, num_batches)
            results.append(compare(name, asdict(variant), pipeline, pairs))
            write_results(results, root)
        if config.score:
            scores = score(entries, root)
            results = [replace(result, scores=scores[result.name]) for result in results]
            write_results(results, root)
        plot(results, root / "sampler_steps.png")
    console.print((root / "table.md").read_text(encoding="utf-8"), soft_wrap=True)
    console.print(f"{root}: results.json, table.md, sampler_steps.png", soft_wrap=True)


def read_study_requests(config: SamplerStepsConfig) -> list[PromptRequest]:
    """Return the prompts; UserError for settings that a study cannot use, and for prompts without facts."""
    generate = config.generate
    for name in ("out", "image"):
        if getattr(generate, name):
            raise UserError(f"generate.{name}={getattr(generate, name)}: not supported in a sampler study")
    requests = read_requests(
        [], generate.prompts, generate.seed, generate.seeds_per_prompt, generate.negative_prompt
    )
    if config.score and any("facts" not in request.extra for request in requests):
        raise UserError(
            f"generate.prompts={generate.prompts}: has prompts without facts to score videos against; create "
            "a file with python -m data.bounce.prompts, or give score=false"
        )
    if len({request.negative_prompt for request in requests}) > 1:
        raise UserError(f"generate.prompts={generate.prompts}: all prompts need the same negative_prompt")
    return requests


def refuse_changed_variant(folder: Path, config: SamplerStepsConfig, variant: SamplerVariant) -> None:
    """Store the settings of a variant's videos; raise UserError if it has videos of other settings."""
    path = folder / "settings.json"
    settings = {"checkpoint": str(find_checkpoint(Path(config.generate.run)))}
    settings |= {f"variant.{key}": value for key, value in asdict(variant).items()}
    settings |= {f"generate.{key}": value for key, value in configs.flatten(config.generate).items()}
    if path.is_file():
        refuse_changed_settings(
            json.loads(path.read_text(encoding="utf-8")),
            settings,
            message=f"{folder} was generated with other settings",
            advice="give another run_dir=... or remove it",
        )
        return
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def generate_variant(
    pipeline: VideoPipeline, requests: list[PromptRequest], sampler: SamplerConfig, folder: Path
) -> list[dict[str, Any]]:
    """Generate videos and latents of one variant batch by batch; existing batches are kept.

    Returns:
        Its part of the manifest, with the variant as `system` and paths relative to the study's directory.
    """
    size = pipeline.config.batch_size
    entries: list[dict[str, Any]] = []
    with ProgressReport(folder.name, len(requests) * sampler.num_steps) as report:
        for index, first in enumerate(range(0, len(requests), size)):
            batch, path = requests[first : first + size], _latents_path(folder, index)
            entries_path = path.with_suffix(".json")
            if not path.is_file():  # written last: it marks the batch as complete
                latents = pipeline.sample(batch, sampler, lambda i, x: report.advance(len(x)))
                written = list(pipeline.write(batch, pipeline.decode(latents), folder))
                path.parent.mkdir(exist_ok=True)
                entries_path.write_text(json.dumps(written), encoding="utf-8")
                with atomic_write(path) as temporary:
                    save_file({"latents": latents.cpu().clone()}, temporary)
            report.update((first + len(batch)) * sampler.num_steps)
            entries += json.loads(entries_path.read_text(encoding="utf-8"))
    kind = "image" if pipeline.format.is_image else "video"
    return [{**e, "system": folder.name, kind: f"{folder.name}/{e[kind]}"} for e in entries]


def _latents_path(folder: Path, index: int) -> Path:
    return folder / "latents" / f"{index:04d}.safetensors"


def _latent_pairs(reference: Path, folder: Path, num_batches: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the reference's and a variant's latents [B, C, T, H, W] of each batch."""
    for index in range(num_batches):
        expected, actual = (load_file(_latents_path(each, index))["latents"] for each in (reference, folder))
        yield expected, actual


def score(entries: list[dict[str, Any]], root: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Return the Bounce checker's intervals by variant and score; reused while the videos are the same."""
    manifest, out = root.resolve() / "manifest.jsonl", root.resolve() / "scores"
    text = "".join(json.dumps(entry) + "\n" for entry in entries)
    is_scored = (out / "summary.json").is_file() and manifest.read_text(encoding="utf-8") == text
    if not is_scored:
        (out / "summary.json").unlink(missing_ok=True)
        manifest.write_text(text, encoding="utf-8")
        capture_output(["eval.run", f"manifest={manifest}", f"out={out}", "metrics=[bounce]"])
    rows = json.loads((out / "summary.json").read_text(encoding="utf-8"))["rows"]
    intervals = {r["system"]: r["intervals"] for r in rows if r["metric"] == "bounce" and r["slice"] == "all"}
    return {
        variant: {name: _present(each) for name, each in found.items()}
        for variant, found in intervals.items()
    }


def _present(interval: dict[str, Any]) -> dict[str, float]:
    """Return mean and bounds; a mean of few values has no bounds."""
    return {key: interval[key] for key in ("mean", "low", "high") if interval[key] is not None}
