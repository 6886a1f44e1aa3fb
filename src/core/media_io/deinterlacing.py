"""Deinterlacing: interlaced frames through ffmpeg's bwdif, one frame for each, progressive ones untouched."""

from collections import deque
from collections.abc import Iterator
from typing import Any

import av
from av.filter import Graph

Fault = tuple[str, str] | None


def deinterlaced(frames: Iterator[tuple[Any, Fault]]) -> Iterator[tuple[Any, Fault]]:
    """Yield frames and faults as they come; from the first interlaced frame on through bwdif.

    The filter looks one frame ahead and keeps order and number of the frames.
    """
    graph: Graph | None = None
    waiting: deque[Any] = deque()
    for frame, fault in frames:
        if frame is None or (graph is None and not frame.interlaced_frame):
            yield frame, fault
            continue
        if graph is None:
            graph = _graph(frame)
        waiting.append(frame)
        graph.push(frame)
        yield from _pull(graph, waiting)
    if graph is not None:
        graph.push(None)
        yield from _pull(graph, waiting)


def _graph(frame: Any) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    graph.link_nodes(
        source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink")
    ).configure()
    return graph


def _pull(graph: Graph, waiting: deque[Any]) -> Iterator[tuple[Any, Fault]]:
    while True:
        try:
            out = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        original = waiting.popleft()
        out.time_base, out.pts = original.time_base, original.pts
        out.duration = original.duration
        yield out, None
