"""Data sets, mixture and batch sizes as Lightning sees them."""

import lightning as L

from src.streaming.media_loaders import MediaLoaders


class MediaDataModule(MediaLoaders, L.LightningDataModule):
    """Loaders of a trainer; without a given `rank` and `world_size` they are the trainer's."""

    @property
    def world_size(self) -> int:
        if self._world_size is None and self.trainer is not None:
            return int(self._sampling["num_replicas"])
        return super().world_size

    @property
    def rank(self) -> int:
        if self._rank is None and self.trainer is not None:
            return int(self._sampling["rank"])
        return super().rank

    @property
    def _sampling(self) -> dict[str, int]:
        """Return number and rank of the groups of processes that read different samples."""
        assert self.trainer is not None
        return self.trainer.distributed_sampler_kwargs or {"num_replicas": 1, "rank": 0}
