"""Training and validation loaders of a config: data sets, mixture and batch sizes; needs no Lightning."""

import torch

from src.streaming.batch_sampler import BatchSampler, StreamSpec, ValidationSampler
from src.streaming.config import DataConfig, StreamConfig
from src.streaming.loader import StepDataset, StepLoader
from src.streaming.planning import StreamPlan, plan_streams, report
from src.streaming.reader import Dataset
from src.streaming.schema.bucket import DataError
from src.streaming.schema.cache_keys import check_key


class MediaLoaders:
    """Loaders whose batches are a pure function of (seed, step).

    Args:
        config: streams and sizes.
        seed: of order, crops and captions.
        num_steps: length of the training loader, one virtual epoch.
        keys: expected data set key by path; any other key is a stale cache.
        rebuild_command: command that rebuilds a stale cache, for the message.
        rank, world_size: of the data-parallel processes; None: one process.

    Raises:
        DataError: empty or broken data set, bucket smaller than a batch, batch size that the ranks
            cannot share equally, stale cache.
    """

    def __init__(
        self,
        config: DataConfig,
        seed: int,
        *,
        num_steps: int,
        keys: dict[str, str] | None = None,
        rebuild_command: str = "",
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        super().__init__()  # of Lightning's class, in `MediaDataModule`
        if not config.streams:
            raise DataError(
                "data.streams is empty: name at least one stream, such as data.streams.video.path=DIR"
            )
        self.config, self.seed, self.num_steps = config, seed, num_steps
        self._keys, self._rebuild_command = keys or {}, rebuild_command
        self._rank, self._world_size = rank, world_size
        self._datasets: dict[str, Dataset] = {}

    def train_dataloader(self) -> StepLoader:
        """Return batches of steps 0, 1, ...; resumes through `load_state_dict({"step": n})`."""
        dataset = self._step_dataset(self._plans("streams"), self.sampler(), self.seed)
        return StepLoader(
            dataset,
            self.num_steps,
            num_workers=self.config.num_workers,
            pin_memory=_pin(),
            storage=self.config.storage,
        )

    def val_dataloader(self) -> StepLoader | list[StepLoader]:
        """Return every validation record once, with fixed crops and captions; [] without val streams."""
        if not self.config.val:
            return []
        plans = self._plans("val")
        sampler = ValidationSampler(_specs(plans), limit=self.config.val_batches)
        dataset = self._step_dataset(plans, sampler, seed=0)
        return StepLoader(dataset, len(sampler), restart=True, pin_memory=_pin(), storage=self.config.storage)

    def sampler(self) -> BatchSampler:
        """Return the order of training batches.

        Raises:
            DataError: a bucket is missing or holds less than one batch.
        """
        specs = _specs(self._plans("streams"))
        return BatchSampler(
            specs,
            self.seed,
            shuffle_chunks=self.config.shuffle_chunks,
            virtual_shards=self.config.virtual_shards,
        )

    def report(self) -> str:
        """Return a table of the training streams; DataError as `sampler`."""
        self.sampler()
        return report(self._plans("streams"))

    def dataset(self, path: str) -> Dataset:
        """Return the data set at a path, opened and checked once."""
        if path not in self._datasets:
            dataset = Dataset(path, verify=self.config.verify, storage=self.config.storage)
            if path in self._keys:
                check_key(path, dataset.info.key, self._keys[path], self._rebuild_command)
            self._datasets[path] = dataset
        return self._datasets[path]

    def _plans(self, part: str) -> dict[str, StreamPlan]:
        configs: dict[str, StreamConfig] = getattr(self.config, part)
        for name, config in configs.items():
            if not config.path:
                raise DataError(
                    f"data.{part}.{name}.path must be given: a directory made by `python -m data.prepare`"
                )
        datasets = {config.path: self.dataset(config.path) for config in configs.values()}
        return plan_streams(f"data.{part}", configs, datasets, self.config.token_size, self.world_size)

    def _step_dataset(
        self, plans: dict[str, StreamPlan], sampler: BatchSampler | ValidationSampler, seed: int
    ) -> StepDataset:
        sources = {name: plan.source() for name, plan in plans.items()}
        return StepDataset(sampler, sources, seed, self.rank, self.world_size)

    @property
    def world_size(self) -> int:
        return 1 if self._world_size is None else self._world_size

    @property
    def rank(self) -> int:
        return 0 if self._rank is None else self._rank


def _specs(plans: dict[str, StreamPlan]) -> dict[str, StreamSpec]:
    return {name: plan.spec for name, plan in plans.items()}


def _pin() -> bool:
    return torch.cuda.is_available()
