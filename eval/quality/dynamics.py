"""Does enough move? VBench's dynamic degree with RAFT by path, and a stand-in by block matching.

Legend: T frames, H height, W width; flow [H, W, 2] in pixels from one frame to the next.
"""

from collections.abc import Iterator
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.filter import Graph

from eval.backbones.checksummed_weights import Network, load_state
from eval.core.results import SHARE, Item, Measurement, Score
from eval.core.video import Video

if TYPE_CHECKING:
    import torch

RATE, TOP = 8.0, 0.05
BLOCK, SEARCH = 16, 32


class DynamicDegree:
    """Share of films in which enough pairs of frames move enough, by RAFT's flow (VBench)."""

    name = "dynamic_degree"
    scores = {
        "dynamic_degree": Score(0, SHARE, "films in which enough moves (VBench)"),
        "flow": Score(0, "", "mean over pairs of the largest 5 % of flow, in shares of the shorter side"),
    }

    def __init__(self, network: Network) -> None:
        self.network = network

    def describe(self) -> dict[str, Any]:
        how = "every round(fps / 8)th frame, as decoded, sides padded to multiples of 8 and at least 128"
        return {**self.network.describe(), "preprocessing": how + "; 20 updates", "rule": RULE}

    @cached_property
    def model(self) -> "torch.nn.Module":
        from torchvision.models.optical_flow import raft_large, raft_small

        state = load_state(self.network.path)
        for make in (raft_large, raft_small):
            model = make(weights=None)
            if set(model.state_dict()) == set(state):
                try:
                    model.load_state_dict(state)
                except RuntimeError:
                    continue
                return model.eval()
        raise ValueError(f"weights: {self.network.path} is neither torchvision's raft_large nor raft_small")

    def flow(self, before_HWC: np.ndarray, after_HWC: np.ndarray) -> np.ndarray:
        """[H, W, 2]."""
        import torch

        height, width = before_HWC.shape[:2]
        more = [max(-side % 8, 128 - side) for side in (height, width)]
        pads = (more[0] // 2, more[0] - more[0] // 2), (more[1] // 2, more[1] - more[1] // 2), (0, 0)
        pair = [
            torch.from_numpy(np.pad(frame, pads, "edge").astype(np.float32) / 127.5 - 1)
            .permute(2, 0, 1)[None]
            .contiguous()
            for frame in (before_HWC, after_HWC)
        ]
        with torch.inference_mode():
            flow = self.model(*pair, num_flow_updates=20)[-1][0].permute(1, 2, 0).numpy()
        return flow[pads[0][0] :, pads[1][0] :][:height, :width]

    def measure(self, item: Item) -> Measurement:
        frames = sampled(item.video)
        return judged([largest(self.flow(a, b)) for a, b in pairwise(frames)], frames, self.name, "flow")


class BlockMotion:
    """The same rule over block matching (libavfilter's mestimate): no network, and not VBench's number."""

    name = "block_motion"
    scores = {
        "dynamic_degree_blocks": Score(0, SHARE, "films in which enough moves, by block matching"),
        "flow_blocks": Score(0, "", "mean over pairs of the largest 5 % of shifts, by the shorter side"),
    }

    def describe(self) -> dict[str, Any]:
        how = f"every round(fps / 8)th frame; hexagon search, blocks of {BLOCK}, at most {SEARCH} pixels"
        return {"backbone": None, "preprocessing": how, "rule": RULE, "av": av.__version__}

    def measure(self, item: Item) -> Measurement:
        frames = sampled(item.video)
        shifts = [largest(each) for each in block_shifts(frames)]
        return judged(shifts, frames, "dynamic_degree_blocks", "flow_blocks")


RULE = "moves where the largest 5 % of a pair's flow pass 6 * shorter side / 256 in round(4 n / 16) pairs"


def sampled(video: Video) -> np.ndarray:
    """About 8 frames per second.

    Raises:
        ValueError: for fewer than two frames.
    """
    frames = video.frames_THWC[:: max(1, round(video.fps / RATE))]
    if len(frames) < 2:
        raise ValueError(f"motion needs two or more frames at {RATE:g} per second, got {len(frames)}")
    return frames


def largest(flow: np.ndarray) -> float:
    """Mean length of the longest 5 % of vectors (one at least), in pixels."""
    lengths = np.sort(np.linalg.norm(flow.reshape(-1, 2), axis=1))
    return float(lengths[-max(1, int(TOP * len(lengths))) :].mean())


def judged(lengths: list[float], frames_THWC: np.ndarray, degree: str, flow: str) -> Measurement:
    """VBench's rule; where it asks for no pair at all (two frames), one is asked for."""
    side = min(frames_THWC.shape[1:3])
    wanted = max(1, round(4 * len(frames_THWC) / 16))
    moving = sum(length > 6 * side / 256 for length in lengths) >= wanted
    detail = {"lengths_px": np.round(lengths, 3).tolist()}
    return Measurement({degree: float(moving), flow: float(np.mean(lengths)) / side}, detail)


def block_shifts(frames_THWC: np.ndarray) -> Iterator[np.ndarray]:
    """For each pair of neighbours [blocks, 2]: where each block of the earlier frame went.

    Raises:
        ValueError: for frames under two blocks.
    """
    height, width = frames_THWC.shape[1:3]
    if min(height, width) < 2 * BLOCK:
        raise ValueError(f"block matching needs {2 * BLOCK} pixels or more, got {height}x{width}")
    graph, pixels = Graph(), av.VideoFormat("rgb24")
    source = graph.add_buffer(width=width, height=height, format=pixels, time_base=Fraction(1, 25))
    search = graph.add("mestimate", f"method=hexbs:mb_size={BLOCK}:search_param={SEARCH}")
    graph.link_nodes(source, graph.add("format", "yuv420p"), search, graph.add("buffersink")).configure()
    for index, frame_HWC in enumerate(frames_THWC):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame_HWC), format="rgb24")
        frame.pts = index
        graph.push(frame)
        if index:  # a frame comes out when the one after it is there
            (vectors,) = graph.pull().side_data
            table = vectors.to_ndarray()
            table = table[table["source"] == 1]  # into the frame after; the first has none before it
            ends = [(table[f"src_{axis}"], table[f"dst_{axis}"]) for axis in "xy"]
            yield np.stack([np.int64(to) - start for to, start in ends], axis=1).astype(float)
