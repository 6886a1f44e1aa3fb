"""Films and pictures from prompts: `python -m src.generate run=RUN prompt="..." [key=value ...]`.

`prompt=` may be given several times; `prompts=FILE` takes a text file (a prompt a line) or JSONL with
id, prompt and, kept for scoring, facts and tags. Writes media and `manifest.jsonl` into OUT. The same
seeds give the same bytes. `frames=1` makes pictures. `rewrite.by=` rewrites prompts in the manner of training
captions, shows both and keeps both in the manifest; films are judged by what was asked.
"""

import json
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from src.core import cli, config, provenance
from src.inference.pipeline import GenerateConfig, Generator
from src.inference.prompt_rewriting import rewriter
from src.inference.prompts import Request, read_requests, rewrite
from src.runs import loading
from src.training.callbacks.checkpoint import find


def main(argv: list[str]) -> None:
    """Parse, generate, write."""
    given = [word.removeprefix("prompt=") for word in argv if word.startswith("prompt=")]
    settings = config.from_command_line(
        GenerateConfig, [word for word in argv if not word.startswith("prompt=")], __doc__
    )
    if settings is None:
        return
    generate(settings, given)


def generate(settings: GenerateConfig, given: list[str]) -> Path:
    """Make every film that is asked for; returns the manifest's path."""
    asked = read_requests(given, settings.prompts, settings.seed, settings.seeds_per_prompt)
    requests = rewrite(list(asked), rewriter(settings.rewrite, pictures=settings.frames == 1))
    show_rewritten(requests)
    generator = Generator(settings)
    out = Path(settings.out or loading.folder_of(Path(settings.run)) / "generated")
    out.mkdir(parents=True, exist_ok=True)
    record = {
        "settings": config.to_dict(settings),
        "checkpoint": str(find(Path(settings.run))),
        "provenance": provenance.collect(),
    }
    (out / "generation.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    columns = (TextColumn("generate"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    entries = []
    with Progress(*columns) as progress:
        task = progress.add_task("", total=len(requests) * settings.sampler.steps)
        for first in range(0, len(requests), settings.batch_size):
            batch = requests[first : first + settings.batch_size]
            latents = generator.sample(batch, on_step=lambda i, x: progress.advance(task, len(x)))
            entries += generator.write(batch, generator.decode(latents), out)
            progress.update(task, completed=(first + len(batch)) * settings.sampler.steps)
    manifest = out / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
    Console(highlight=False).print(f"{len(entries)} files and their manifest: {manifest}", soft_wrap=True)
    return manifest


def show_rewritten(requests: list[Request]) -> None:
    """Each prompt that was rewritten, and what the model reads instead."""
    console = Console(highlight=False, markup=False)
    found = {request.prompt: request.rewritten for request in requests if request.rewritten is not None}
    for prompt, rewritten in found.items():
        console.print(f"prompt:    {prompt}\nrewritten: {rewritten}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(cli.run(main))
