"""Amount of motion: VBench's dynamic degree over RAFT's flow, and the same rule over block matching.

Legend: T frames, H height, W width; flow [H, W, 2] in pixels from one frame to the next.
"""

from collections.abc import Callable, Generator
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.filter import Graph

from eval.backbones.checksummed_weights import Network, load_state
from eval.core.frame_metric import FrameMetric
from eval.core.frame_source import Frame, StreamInfo
from eval.core.frame_tasks import FrameTask
from eval.core.results import FRACTION, Item, Measurement, Score

if TYPE_CHECKING:
    import torch

RATE, TOP = 8.0, 0.05
BLOCK, SEARCH = 16, 32


class DynamicDegree(FrameMetric):
    """Fraction of videos with motion, by VBench's rule over RAFT's flow."""

    name = "dynamic_degree"
    scores = {
        "dynamic_degree": Score(0, FRACTION, "videos with motion (VBench)"),
        "flow": Score(0, "", "mean of the largest 5 % of flow vectors, as a fraction of the shorter side"),
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
        """Return the flow [H, W, 2] between two frames."""
        import torch

        height, width = before_HWC.shape[:2]
        padding = [max(-side % 8, 128 - side) for side in (height, width)]
        top, left = (each // 2 for each in padding)
        pads = (top, padding[0] - top), (left, padding[1] - left), (0, 0)
        pair = [
            torch.from_numpy(np.pad(frame, pads, "edge").astype(np.float32) / 127.5 - 1)
            .permute(2, 0, 1)[None]
            .contiguous()
            for frame in (before_HWC, after_HWC)
        ]
        with torch.inference_mode():
            flow = self.model(*pair, num_flow_updates=20)[-1][0].permute(1, 2, 0).numpy()
        return flow[top:, left:][:height, :width]

    def observe(self, item: Item, info: StreamInfo) -> FrameTask:
        lengths = yield from map_neighbors(info.fps, lambda before, after: top_flow(self.flow(before, after)))
        return dynamic_degree_scores(lengths, min(info.height, info.width), self.name, "flow")


class BlockMotion(FrameMetric):
    """The same rule over block matching (libavfilter's mestimate): no network, not comparable to VBench's."""

    name = "block_motion"
    scores = {
        "dynamic_degree_blocks": Score(0, FRACTION, "videos with motion, by block matching"),
        "flow_blocks": Score(
            0, "", "mean of the largest 5 % of block motion, as a fraction of the shorter side"
        ),
    }

    def describe(self) -> dict[str, Any]:
        how = f"every round(fps / 8)th frame; hexagon search, blocks of {BLOCK}, at most {SEARCH} pixels"
        return {"backbone": None, "preprocessing": how, "rule": RULE, "av": av.__version__}

    def observe(self, item: Item, info: StreamInfo) -> FrameTask:
        search = BlockMatching(info.height, info.width)
        lengths = yield from map_neighbors(
            info.fps, lambda _, after: top_flow(search.push(after)), search.push
        )
        return dynamic_degree_scores(
            lengths, min(info.height, info.width), "dynamic_degree_blocks", "flow_blocks"
        )


RULE = "moves where the largest 5 % of a pair's flow pass 6 * shorter side / 256 in round(4 n / 16) pairs"


def map_neighbors(
    fps: float,
    function: Callable[[np.ndarray, np.ndarray], float],
    start: Callable[[np.ndarray], Any] = lambda _: None,
) -> Generator[None, "Frame | None", list[float]]:
    """Return the function of each pair of neighbors among about 8 frames per second.

    Args:
        start: called with the first frame, before all pairs.

    Raises:
        ValueError: there are fewer than two of them.
    """
    step, number, before, values = max(1, round(fps / RATE)), 0, None, list[float]()
    while (frame := (yield)) is not None:
        if number % step == 0:
            if before is None:
                start(frame.rgb_HWC)
            else:
                values.append(function(before, frame.rgb_HWC))
            before = frame.rgb_HWC
        number += 1
    if not values:
        found = int(before is not None)
        raise ValueError(f"motion: expected two or more frames at {RATE:g} per second, got {found}")
    return values


def top_flow(flow: np.ndarray) -> float:
    """Return the mean length of the longest 5 % of vectors (at least one), in pixels."""
    lengths = np.sort(np.linalg.norm(flow.reshape(-1, 2), axis=1))
    return float(lengths[-max(1, int(TOP * len(lengths))) :].mean())


def dynamic_degree_scores(lengths: list[float], side: int, degree: str, flow: str) -> Measurement:
    """Apply VBench's rule to the flow of each pair; at least one pair must move, also of two frames.

    Args:
        lengths: of each pair, in pixels.
        side: shorter side of the frames, in pixels.
    """
    num_required = max(1, round(4 * (len(lengths) + 1) / 16))
    moving = sum(length > 6 * side / 256 for length in lengths) >= num_required
    detail = {"lengths_px": np.round(lengths, 3).tolist()}
    return Measurement({degree: float(moving), flow: float(np.mean(lengths)) / side}, detail)


class BlockMatching:
    """libavfilter's mestimate over frames that are pushed one at a time.

    Raises:
        ValueError: frames are smaller than two blocks.
    """

    def __init__(self, height: int, width: int) -> None:
        if min(height, width) < 2 * BLOCK:
            raise ValueError(f"block matching: expected {2 * BLOCK} pixels or more, got {height}x{width}")
        self._graph, self._index = Graph(), 0
        pixels = av.VideoFormat("rgb24")
        source = self._graph.add_buffer(width=width, height=height, format=pixels, time_base=Fraction(1, 25))
        search = self._graph.add("mestimate", f"method=hexbs:mb_size={BLOCK}:search_param={SEARCH}")
        last = self._graph.add("buffersink")
        self._graph.link_nodes(source, self._graph.add("format", "yuv420p"), search, last).configure()

    def push(self, frame_HWC: np.ndarray) -> np.ndarray:
        """Return [blocks, 2]: the motion of the last frame's blocks into this one; none for the first one."""
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame_HWC), format="rgb24")
        frame.pts = self._index
        self._index += 1
        self._graph.push(frame)
        if self._index == 1:  # the filter outputs a frame once it has the next one
            return np.zeros((0, 2))
        (vectors,) = self._graph.pull().side_data
        table = vectors.to_ndarray()
        table = table[table["source"] == 1]  # motion into the next frame
        ends = [(table[f"src_{axis}"], table[f"dst_{axis}"]) for axis in "xy"]
        return np.stack([np.int64(to) - start for to, start in ends], axis=1).astype(float)
