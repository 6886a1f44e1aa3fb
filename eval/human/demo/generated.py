"""Videos and images of two systems made from the committed weights: one model with many and with few steps.

Generation runs as a command of its own, `python -m src.generate`, since `eval.human` works without torch.
"""

import importlib.util
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from eval.core.manifest import Sample, read_manifest, write_manifest
from src.core.errors import UserError

SYSTEMS = {"steps_25": 25, "steps_4": 4}
PROMPTS = (
    ("red_star", "A red star moves right.", "motion: straight"),
    ("green_ring", "A green ring moves up.", "motion: straight"),
    ("blue_square", "A blue square bounces.", "motion: bounce"),
    ("yellow_cross", "A yellow cross moves down.", "motion: straight"),
    ("purple_star", "A purple star bounces.", "motion: bounce"),
    ("orange_ring", "An orange ring stands still.", "motion: none"),
    ("cyan_triangle", "A cyan triangle moves left.", "motion: straight"),
    ("white_circle", "A white circle bounces.", "motion: bounce"),
)


def generate_clips(folder: Path, weights: Path, *, num_prompts: int, seed: int = 0) -> dict[str, str]:
    """Generate a video and an image for each prompt and system; return system -> manifest.

    Raises:
        UserError: the weights or torch are missing, more prompts than there are, or generation failed.
    """
    if not weights.is_file():
        raise UserError(f"weights: no such file: {weights}; empty draws clips instead")
    if num_prompts > len(PROMPTS):
        raise UserError(f"num_prompts: there are {len(PROMPTS)} prompts, got {num_prompts}")
    if importlib.util.find_spec("torch") is None:
        raise UserError("weights: generation needs torch (make install); empty draws clips instead")
    folder.mkdir(parents=True, exist_ok=True)
    prompts = folder / "prompts.jsonl"
    entries = [
        {"id": name, "prompt": f"Static shot. {text}", "tags": [tag]}
        for name, text, tag in PROMPTS[:num_prompts]
    ]
    prompts.write_text("".join(json.dumps(each) + "\n" for each in entries), encoding="utf-8")
    with ThreadPoolExecutor(len(SYSTEMS)) as pool:
        manifests = pool.map(lambda name: _generate_system(folder, name, weights, prompts, seed), SYSTEMS)
        return {name: str(path) for name, path in zip(SYSTEMS, manifests, strict=True)}


def _generate_system(folder: Path, system: str, weights: Path, prompts: Path, seed: int) -> Path:
    """Generate one system's videos and images, and write one manifest of both."""
    samples: dict[str, Sample] = {}
    options: dict[str, tuple[str, ...]] = {"video": (), "image": ("num_frames=1",)}
    for kind, more in options.items():
        out = folder / system / f"{kind}s"
        command = [f"run={weights}", f"prompts={prompts}", f"out={out}", f"seed={seed}", "precision=fp32"]
        _run("src.generate", *command, f"sampler.num_steps={SYSTEMS[system]}", *more)
        for sample in read_manifest(out / "manifest.jsonl"):
            path = f"{kind}s/{getattr(sample, kind)}"
            first = samples.get(sample.id) or replace(sample, system=system)
            media: dict[str, Any] = {kind: path}
            samples[sample.id] = replace(first, **media)
    manifest = folder / system / "manifest.jsonl"
    write_manifest(manifest, samples.values())
    return manifest


def _run(module: str, *arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise UserError(f"{module}: {' '.join(last) or done.returncode}")
