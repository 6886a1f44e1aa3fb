"""Kinds of run. Each module holds a `Config` dataclass and `run(config)`: here everything meets."""

import difflib
import importlib
from types import ModuleType

from src.core.config import ConfigError

EXPERIMENTS = {
    "recipe": "an ordered chain of stages",
    "tae": "train a temporal autoencoder",
    "latents": "encode a prepared data set once",
    "video": "train the flow-matching video transformer (one stage)",
    "claims": "run arms of the paper's claims over seeds, keeping what is finished",
    "solvers": "compare schedules of sampling with a reference of many steps",
    "average": "average the weights of several runs",
    "latent_norms": "outliers in the latents of a temporal autoencoder, as numbers and a picture",
    "word_gap": "rise of the loss of a video model when one word of its captions is wrong",
}


def experiment(name: str) -> ModuleType:
    """The module of one kind of run, imported only when it is asked for.

    Raises:
        ConfigError: there is no such kind.
    """
    if name not in EXPERIMENTS:
        near = difflib.get_close_matches(name, EXPERIMENTS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(EXPERIMENTS)}"
        raise ConfigError(f"experiment: {name!r} is not a kind of run; {hint}")
    return importlib.import_module(f"src.experiments.{name}")
