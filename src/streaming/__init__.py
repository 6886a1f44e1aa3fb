"""Data sets in directories and stores, and the batches of a rank.

on disk       schema (records, keys, writer, tables of chunks), reader (Dataset), chunk_items
in a store    storage (LitData's downloaders), chunk_cache, chunk_sources, prefetch, remote_index, optimized
order         batch_sampler (BatchSampler), epoch_order, virtual_shards, bijection, buckets, planning
batches       loader (StepLoader), collate, batch (ClipBatch, LatentBatch), pixels, micro_batches
Lightning     config (DataConfig, StreamConfig, StorageConfig), datamodule (MediaDataModule)
"""
