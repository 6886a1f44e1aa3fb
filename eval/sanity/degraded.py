"""Write degraded Bounce videos for `eval.correlate`: `python -m eval.sanity.degraded out=FOLDER [num=12]`.

Each of `num` videos of the world appears as it is and with every degradation, as a system of its own; the
manifest has the facts, and the original as reference.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import Config, opt
from src.core.progress import progress

NAMES = (
    *("ground truth", "H.264 crf 28", "as generated x1", "noise 10", "noise 20", "blur 1", "blur 3"),
    *("color shift 15 %", "wrong colors", "frozen", "reversed", "shuffled"),
)


@dataclass(frozen=True, kw_only=True)
class DegradedConfig(Config):
    """Settings of `eval.sanity.degraded`."""

    out: str = opt("???", "folder of the videos and manifest.jsonl")
    num: int = opt(12, "videos of the world", ge=1)
    first_seed: int = opt(0, "seed of the first of them", ge=0)
    side: int = opt(64, "height and width in pixels", ge=16)
    num_frames: int = opt(24, "frames of a video", ge=2)
    degradations: tuple[str, ...] = opt(NAMES, "degradations, by the names of eval/core/degradations.py")


def write_degraded(config: DegradedConfig) -> Path:
    """Write the videos and return the manifest."""
    from data.bounce.captions import caption_variants  # --help needs none of these
    from data.bounce.config import WorldConfig
    from data.bounce.world import make_video
    from eval.core.degradations import DEGRADATIONS
    from eval.core.manifest import Sample, write_manifest
    from eval.core.video import write_video
    from src.core.suggestions import did_you_mean

    for name in config.degradations:
        if name not in DEGRADATIONS:
            raise ValueError(f"degradations: no {name!r}; {did_you_mean(name, DEGRADATIONS)}")
    world, out, samples = WorldConfig(holdout="include", split="all"), Path(config.out), []
    with progress("videos", config.num) as advance:
        for seed in range(config.first_seed, config.first_seed + config.num):
            video = make_video(
                seed, world, num_frames=config.num_frames, height=config.side, width=config.side, fps=16
            )
            reference = f"originals/{seed}.mp4"
            write_video(out / reference, video.video_THWC, 16)
            for number, name in enumerate(config.degradations):
                path = f"{number}/{seed}.mp4"
                write_video(out / path, DEGRADATIONS[name](video.video_THWC, seed), 16)
                facts, prompt = video.facts.to_dict(), caption_variants(video.facts)[0]
                samples.append(
                    Sample(
                        id=str(seed), system=name, prompt=prompt, video=path, reference=reference, facts=facts
                    )
                )
            advance(1)
    write_manifest(out / "manifest.jsonl", samples)
    return out / "manifest.jsonl"


def main(argv: list[str]) -> None:
    """Write the videos and print the manifest's path."""
    config = from_command_line(DegradedConfig, argv, __doc__)
    if config is None:
        return
    try:
        print(write_degraded(config))
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error


if __name__ == "__main__":
    sys.exit(run_command(main))
