"""Data sets on disk, and the batches of a rank.

on disk       schema (records, keys, writer), reader (Dataset)
order         batch_sampler (BatchSampler), buckets, planning (plan_streams)
batches       loader (StepLoader), collate, batch (ClipBatch, LatentBatch), pixels, micro_batches
Lightning     config (DataConfig, StreamConfig), datamodule (MediaDataModule)
"""
