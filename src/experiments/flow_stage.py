"""Train one stage of a flow model of any medium on encoded latents."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import lightning as L
from rich.console import Console

from src.core.launch import is_first_rank
from src.runs import latents, run_directory
from src.runs.latents import FlowRunConfig
from src.streaming.datamodule import MediaDataModule
from src.training.checkpoint_paths import last_checkpoint
from src.training.config import PositionGrowth
from src.training.init_weights import InitFrom
from src.training.modules.flow import FlowModule
from src.training.trainer import fit

AnyConfig = TypeVar("AnyConfig", bound=FlowRunConfig)


def train_stage(
    config: AnyConfig,
    build_module: Callable[[AnyConfig], FlowModule],
    make_callbacks: Callable[[], Sequence[L.Callback]],
    *,
    check_data: Callable[[MediaDataModule], None] | None = None,
    allow_new: tuple[str, ...] = (),
    allow_other: bool = False,
    position_growth: PositionGrowth | None = None,
) -> None:
    """Train the stage to its end; resumes from its newest checkpoint.

    Args:
        check_data: compares the data sets with the config before anything is computed.
        allow_new: prefixes of weights that the model of `start_from` may lack.
        allow_other: also start from a model of another TAE's or codec's latents.

    Raises:
        UserError: latents of another TAE or codec than those of the run or of `start_from`.
    """
    run_dir, kind = Path(config.run_dir), latents.autoencoder_of(config)
    with run_directory.locked_run_dir(run_dir, config):
        module = build_module(config)
        dataset_kind = latents.dataset_kind(config)
        module.set_latent_statistics(
            *latents.read_statistics(config.latents, dataset_kind, config.data.storage)
        )
        data = MediaDataModule(
            config.data,
            config.train.seed,
            num_steps=config.train.max_steps,
            keys=latents.expected_latent_keys(config) if is_first_rank() else {},
            rebuild_command="the latents stage again with overwrite=true",
        )
        if check_data is not None:
            check_data(data)
        if is_first_rank():
            Console(highlight=False).print(data.report())
        key, resume, init_from = latents.autoencoder_key(config), last_checkpoint(run_dir), None
        if resume is not None:
            advice = f"give another run_dir=... or encode them with that {latents.NAMES[kind]}"
            latents.refuse_other_autoencoder(kind, f"run_dir={run_dir}", resume, config.latents, key, advice)
        elif config.start_from:
            init_from = start_of(
                config, key, allow_new=allow_new, allow_other=allow_other, position_growth=position_growth
            )
        fit(
            module,
            data,
            config.train,
            run_dir,
            init_from=init_from,
            label=config.name,
            metadata={f"{kind}_key": key},
            callbacks=make_callbacks(),
        )


def start_of(
    config: FlowRunConfig,
    key: str,
    *,
    allow_new: tuple[str, ...],
    allow_other: bool,
    position_growth: PositionGrowth | None,
) -> InitFrom:
    """Return which weights of `start_from` a stage takes over.

    Args:
        key: of the TAE or codec that encoded the stage's latents.

    Raises:
        UserError: the source was trained on latents of another one, and the config does not allow it.
    """
    kind = latents.autoencoder_of(config)
    keep: tuple[str, ...] = ()
    if allow_other:
        keep = ("latent_mean_C", "latent_std_C")  # the source's describe other latents
    else:
        setting = f"start_from={config.start_from}"
        advice = f"give latents of that {latents.NAMES[kind]} or allow_other_{kind}=true"
        latents.refuse_other_autoencoder(kind, setting, Path(config.start_from), config.latents, key, advice)
    return InitFrom(
        Path(config.start_from),
        config.start_use,
        allow_new=allow_new,
        keep=keep,
        position_growth=position_growth,
        with_optimizer=config.start_optimizer,
    )
