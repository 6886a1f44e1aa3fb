"""Data sets on disk to batches on a rank: schema, order, reading, Lightning data module.

    data sets     src.streaming.schema   records, keys, writer          src.streaming.reader   Dataset
    order         src.streaming.batch_sampler     BatchSampler, ValidationSampler
    batches       src.streaming.batch  ClipBatch, LatentBatch         src.streaming.collate
    Lightning     src.streaming.datamodule  MediaDataModule, DataConfig, StreamConfig

Import from the modules: nothing is imported here, so that preparation needs no Lightning.
"""
