"""Data sets, mixture and batch sizes as Lightning sees them."""

import lightning as L

from src.streaming.media_loaders import MediaLoaders


class MediaDataModule(MediaLoaders, L.LightningDataModule):
    """Loaders of a trainer; without a given `rank` and `world_size` they are the trainer's."""

    @property
    def world_size(self) -> int:
        if self._world_size is None and self.trainer is not None:
            return self.trainer.world_size
        return super().world_size

    @property
    def rank(self) -> int:
        if self._rank is None and self.trainer is not None:
            return self.trainer.global_rank
        return super().rank
