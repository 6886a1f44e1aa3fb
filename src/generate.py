"""Generate videos or images from prompts: `python -m src.generate run=RUN prompt="..." [key=value ...]`.

`prompt=` may be given several times; `prompts=FILE` takes a text file (one prompt per line) or JSONL with
prompt and optionally id, seed, negative_prompt; further keys (facts, tags) are copied for scoring. Size,
frame rate and sampler are the run's own unless given; `num_frames=1` generates images. Writes media named by
id and seed and `manifest.jsonl` into OUT, and never replaces earlier ones without `overwrite=true`. Equal
seeds give equal frames. `rewrite.backend=` rewrites prompts in the style of training captions; both texts are
shown and stored, and videos are scored against the original.
"""

import sys

from src.core import cli, config
from src.inference.config import GenerateConfig

INTERRUPTED = "interrupted; finished videos are listed in manifest.jsonl of the output directory"


def main(argv: list[str]) -> None:
    """Parse the command line and generate."""
    prompts = [arg.removeprefix("prompt=") for arg in argv if arg.startswith("prompt=")]
    args = [arg for arg in argv if not arg.startswith("prompt=")]
    settings = config.from_command_line(GenerateConfig, args, __doc__)
    if settings is None:
        return
    # Imported after parsing: torch takes seconds, which --help and a mistyped key do not need.
    from src.inference.generate_videos import generate

    generate(settings, prompts)


if __name__ == "__main__":
    sys.exit(cli.run(main, interrupted=INTERRUPTED))
