"""Items of LitData's chunk files, decoded by LitData's own serializers.

A chunk file is its number of items N, N + 1 offsets from its beginning (uint32 all), and the items.
"""

import mmap
import os
import struct
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from litdata.streaming.item_loader import PyTreeLoader
from litdata.streaming.serializers import _get_serializers
from litdata.utilities._pytree import treespec_loads

from src.streaming.schema.bucket import DataError

OPEN_CHUNKS = 32  # memory maps kept for a bucket; above shuffle_chunks


class ChunkItems:
    """Random access to the items of a bucket's chunk files. Picklable; files are opened in each process.

    Args:
        config: of LitData's index.json: format and structure of the items.
        where: the bucket, for messages.

    Raises:
        DataError: compressed or encrypted chunks.
    """

    def __init__(self, config: dict[str, Any], where: str) -> None:
        packed = [k for k in ("compression", "encryption") if config.get(k)]
        if packed:
            raise DataError(f"{where}: {packed[0]} of chunks is not supported; write them without it")
        self._config = config
        self._loader: PyTreeLoader | None = None
        self._maps: OrderedDict[int, tuple[mmap.mmap, Path]] = OrderedDict()

    def read(self, chunk: int, item: int, num_items: int, path_of: Callable[[], Path]) -> Any:
        """Return an item of a chunk; its tensors are views of the file.

        Args:
            num_items: of the chunk, by its index.
            path_of: returns the chunk's path; called where the file is not open.

        Raises:
            ValueError: the file is not a chunk of this many items.
        """
        if chunk not in self._maps:
            self._open(chunk, num_items, path_of())
        view = self._maps[chunk][0]
        begin, end = struct.unpack_from("<II", view, 4 * (item + 1))
        if not 4 * (num_items + 2) <= begin < end <= len(view):
            raise ValueError(f"item {item} is outside of the file")
        return self._items.deserialize(memoryview(view)[begin:end])

    def _open(self, chunk: int, num_items: int, path: Path) -> None:
        with open(path, "rb") as file:
            view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        found = struct.unpack_from("<I", view)[0]
        if found != num_items:
            raise ValueError(f"holds {found} items, expected {num_items}")
        view.madvise(mmap.MADV_WILLNEED)  # records are mixed over chunks: all of it is read soon
        # An evicted file takes disk space as long as it is mapped.
        for gone in [k for k, (_, name) in self._maps.items() if not os.path.exists(name)]:
            del self._maps[gone]
        self._maps[chunk] = view, path
        while len(self._maps) > OPEN_CHUNKS:
            self._maps.popitem(last=False)

    @property
    def _items(self) -> PyTreeLoader:
        if self._loader is None:
            self._loader = PyTreeLoader(batch_decode=0)
            config = self._config | {"data_spec": treespec_loads(self._config["data_spec"])}
            self._loader.setup(config, [], _get_serializers(None))
        return self._loader

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_loader": None, "_maps": OrderedDict()}
