"""Generate videos or images from prompts: `python -m src.generate run=RUN prompt="..." [key=value ...]`.

Without `run=` the weights that come with the repository are used, and `out` is runs/generated.
`prompt=` may be given several times; `prompts=FILE` takes a text file (one prompt per line) or JSONL with
prompt and optionally id, seed, negative_prompt; further keys (facts, tags) are copied for scoring. Size,
frame rate and sampler are the run's own unless given; `num_frames=1` generates images. Writes media named by
id and seed and `manifest.jsonl` into OUT, and never replaces earlier ones without `overwrite=true`. Equal
seeds give equal frames. `rewrite.backend=` rewrites prompts in the style of training captions; both texts are
shown and stored, and videos are scored against the original. `audio.run=AUDIO` also gives the videos audio,
in OUT/with_audio.

The run of an audio model gives audio instead: for the videos of `videos=`, a file, a folder or a manifest, or
for prompts alone (its settings: --help audio).
"""

import sys
from pathlib import Path

from src.core import cli, config
from src.inference.config import GenerateConfig
from src.inference.generate_audio_config import GenerateAudioConfig

SHIPPED_RUN = Path(__file__).parents[1] / "weights" / "small" / "video.safetensors"
SHIPPED_OUT = "runs/generated"
INTERRUPTED = "interrupted; finished videos are listed in manifest.jsonl of the output directory"


def main(argv: list[str]) -> None:
    """Parse the command line and generate."""
    prompts = [arg.removeprefix("prompt=") for arg in argv if arg.startswith("prompt=")]
    args = with_shipped_weights([arg for arg in argv if not arg.startswith("prompt=")])
    # Modules are imported after parsing: torch takes seconds, which --help and a mistyped key do not need.
    if run_kind(args) == "audio":
        audio_args = [arg for arg in args if arg != "audio"]
        audio_settings = config.from_command_line(GenerateAudioConfig, audio_args, __doc__)
        if audio_settings is not None:
            from src.inference.generate_audio import generate as generate_audio

            generate_audio(audio_settings, prompts)
        return
    settings = config.from_command_line(GenerateConfig, args, __doc__)
    if settings is None:
        return
    from src.inference.generate_videos import generate

    generate(settings, prompts)


def with_shipped_weights(args: list[str]) -> list[str]:
    """Return the arguments with a run: the weights that come with the repository, where they name none."""
    parsed = config.parse_arguments(args)
    settings = config.flat_settings(args)
    if parsed.help or parsed.topics or settings.get("run", "???") != "???":
        return args
    out = [] if settings.get("out") else [f"out={SHIPPED_OUT}"]
    print(f"run={SHIPPED_RUN}: the weights that come with the repository, for no run= is given")
    return [*args, f"run={SHIPPED_RUN}", *out]


def run_kind(args: list[str]) -> str:
    """Return the kind of the run that the arguments name; "audio" for `--help audio`, else "video"."""
    if config.parse_arguments(args).topics == ("audio",):
        return "audio"
    run = Path(str(config.flat_settings(args).get("run", "")))
    for path in (run / "config.yaml", run.parent.parent / "config.yaml"):  # of a run, or of its checkpoint
        if path.is_file():
            return str(config.read_flat(path).get("experiment", ""))
    if run.suffix == ".safetensors" and run.is_file():
        from src.runs.loading import read_kind

        return read_kind(run)
    return "video"


if __name__ == "__main__":
    sys.exit(cli.run(main, interrupted=INTERRUPTED))
