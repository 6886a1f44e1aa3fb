"""Format of a data set on disk: records, keys, and a writer that publishes it in one step.

`data` and the latent encoder write through this package; it depends on neither training nor order.

    DIR/dataset.json          written last: kind, key, content hash, buckets, every chunk's size and sha256
    DIR/<T>x<H>x<W>/          one LitData directory for each bucket: index.json and chunk-<part>-<n>.bin
    DIR/rejected.jsonl        rejected inputs, with reasons
    DIR/.parts/               unfinished work; removed when the data set is complete
"""
