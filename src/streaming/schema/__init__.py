"""What a data set looks like on disk: records, keys, and the writer that makes one whole or not at all.

`data` and the latent encoder write through this package; nothing here knows of training or of order.

    DIR/dataset.json          written last: kind, key, content hash, buckets, every chunk's size and sha256
    DIR/<T>x<H>x<W>/          one LitData directory for each bucket: index.json and chunk-<part>-<n>.bin
    DIR/rejected.jsonl        what was refused, and why
    DIR/.parts/               unfinished work; gone when the data set is whole
"""
