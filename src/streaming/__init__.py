"""Data sets on disk to batches on a rank: schema, order, reading, Lightning data module.

    data sets     src.streaming.schema   records, keys, writer          src.streaming.reader   Dataset
    order         src.streaming.plan     BatchPlan, ValidationPlan
    batches       src.streaming.batches  ClipBatch, LatentBatch         src.streaming.collate
    Lightning     src.streaming.media_data  MediaData, DataConfig, StreamConfig

Import from the modules: nothing is imported here, so that preparation needs no Lightning.
"""
