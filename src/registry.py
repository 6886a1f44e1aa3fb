"""Kinds of run: `experiment: NAME` in a YAML file selects one of these.

From YAML to model in two steps: the entry here names the config and the function that runs it; the function
opens the module where everything is put together. Modules are imported when a run starts, since Lightning
alone takes seconds and `--help` needs configs only.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from src.core.config import ConfigError
from src.experiments.config import AverageConfig, EncodeLatentsConfig, RecipeConfig
from src.runs.audio_config import AudioRunConfig
from src.runs.config import CodecRunConfig, TAERunConfig, VideoRunConfig
from src.runs.contrastive_config import ContrastiveRunConfig
from src.studies.ablation.config import AblationConfig
from src.studies.config import CaptionSensitivityConfig, LatentOutliersConfig, SamplerStepsConfig


@dataclass(frozen=True)
class Experiment:
    """A kind of run: its config, the function that runs it, and one line about it."""

    config: type
    run: Callable[[Any], None]
    about: str


def run_recipe(config: RecipeConfig) -> None:
    from src.experiments import recipe

    recipe.run(config)


def run_tae(config: TAERunConfig) -> None:
    from src.experiments import tae

    tae.run(config)


def run_codec(config: CodecRunConfig) -> None:
    from src.experiments import codec

    codec.run(config)


def run_encode_latents(config: EncodeLatentsConfig) -> None:
    from src.experiments import encode_latents

    encode_latents.run(config)


def run_video(config: VideoRunConfig) -> None:
    from src.experiments import video

    video.run(config)


def run_audio(config: AudioRunConfig) -> None:
    from src.experiments import audio

    audio.run(config)


def run_contrastive(config: ContrastiveRunConfig) -> None:
    from src.experiments import contrastive

    contrastive.run(config)


def run_average(config: AverageConfig) -> None:
    from src.experiments import average

    average.run(config)


def run_ablation(config: AblationConfig) -> None:
    from src.studies.ablation import run

    run.run(config)


def run_sampler_steps(config: SamplerStepsConfig) -> None:
    from src.studies import sampler_steps

    sampler_steps.run(config)


def run_caption_sensitivity(config: CaptionSensitivityConfig) -> None:
    from src.studies import caption_sensitivity

    caption_sensitivity.run(config)


def run_latent_outliers(config: LatentOutliersConfig) -> None:
    from src.studies import latent_outliers

    latent_outliers.run(config)


EXPERIMENTS: dict[str, Experiment] = {
    "recipe": Experiment(RecipeConfig, run_recipe, "run an ordered chain of stages"),
    "tae": Experiment(TAERunConfig, run_tae, "train a temporal autoencoder"),
    "codec": Experiment(CodecRunConfig, run_codec, "train an audio codec"),
    "encode_latents": Experiment(EncodeLatentsConfig, run_encode_latents, "encode a prepared data set once"),
    "video": Experiment(VideoRunConfig, run_video, "train one stage of the flow-matching video transformer"),
    "audio": Experiment(AudioRunConfig, run_audio, "train one stage of the flow-matching audio transformer"),
    "contrastive": Experiment(
        ContrastiveRunConfig, run_contrastive, "train a contrastive model of audio, video and text"
    ),
    "average": Experiment(AverageConfig, run_average, "average the weights of several runs"),
    "ablation": Experiment(AblationConfig, run_ablation, "train and measure variants over seeds"),
    "sampler_steps": Experiment(
        SamplerStepsConfig, run_sampler_steps, "compare sampling schedules with a reference of many steps"
    ),
    "caption_sensitivity": Experiment(
        CaptionSensitivityConfig,
        run_caption_sensitivity,
        "measure how much a video model's loss rises when one word of the caption is wrong",
    ),
    "latent_outliers": Experiment(
        LatentOutliersConfig, run_latent_outliers, "measure outliers in the latents of a temporal autoencoder"
    ),
}


def find_experiment(tree: DictConfig) -> Experiment:
    """Return the kind of run that a config tree names.

    Raises:
        ConfigError: there is no such kind.
    """
    name = str(tree.get("experiment", ""))
    if name not in EXPERIMENTS:
        near = difflib.get_close_matches(name, EXPERIMENTS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(EXPERIMENTS)}"
        raise ConfigError(f"experiment: {name!r} is not a kind of run; {hint}")
    return EXPERIMENTS[name]
