"""Amount of motion: VBench's dynamic degree over RAFT's flow, and the same rule over block matching.

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
from eval.core.results import FRACTION, Item, Measurement, Score
from eval.core.video import Video

if TYPE_CHECKING:
    import torch

RATE, TOP = 8.0, 0.05
BLOCK, SEARCH = 16, 32


class DynamicDegree:
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

    def measure(self, item: Item) -> Measurement:
        frames = sample_at_rate(item.video)
        return dynamic_degree_scores(
            [top_flow(self.flow(a, b)) for a, b in pairwise(frames)], frames, self.name, "flow"
        )


class BlockMotion:
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

    def measure(self, item: Item) -> Measurement:
        frames = sample_at_rate(item.video)
        shifts = [top_flow(each) for each in block_motion_vectors(frames)]
        return dynamic_degree_scores(shifts, frames, "dynamic_degree_blocks", "flow_blocks")


RULE = "moves where the largest 5 % of a pair's flow pass 6 * shorter side / 256 in round(4 n / 16) pairs"


def sample_at_rate(video: Video) -> np.ndarray:
    """Return about 8 frames per second.

    Raises:
        ValueError: there are fewer than two of them.
    """
    frames = video.frames_THWC[:: max(1, round(video.fps / RATE))]
    if len(frames) < 2:
        raise ValueError(f"motion: expected two or more frames at {RATE:g} per second, got {len(frames)}")
    return frames


def top_flow(flow: np.ndarray) -> float:
    """Return the mean length of the longest 5 % of vectors (at least one), in pixels."""
    lengths = np.sort(np.linalg.norm(flow.reshape(-1, 2), axis=1))
    return float(lengths[-max(1, int(TOP * len(lengths))) :].mean())


def dynamic_degree_scores(
    lengths: list[float], frames_THWC: np.ndarray, degree: str, flow: str
) -> Measurement:
    """Apply VBench's rule to the flow of each pair; at least one pair must move, also of two frames."""
    side = min(frames_THWC.shape[1:3])
    num_required = max(1, round(4 * len(frames_THWC) / 16))
    moving = sum(length > 6 * side / 256 for length in lengths) >= num_required
    detail = {"lengths_px": np.round(lengths, 3).tolist()}
    return Measurement({degree: float(moving), flow: float(np.mean(lengths)) / side}, detail)


def block_motion_vectors(frames_THWC: np.ndarray) -> Iterator[np.ndarray]:
    """Yield [blocks, 2] for each pair of neighboring frames: the motion of the earlier frame's blocks.

    Raises:
        ValueError: frames are smaller than two blocks.
    """
    height, width = frames_THWC.shape[1:3]
    if min(height, width) < 2 * BLOCK:
        raise ValueError(f"block matching: expected {2 * BLOCK} pixels or more, got {height}x{width}")
    graph, pixels = Graph(), av.VideoFormat("rgb24")
    source = graph.add_buffer(width=width, height=height, format=pixels, time_base=Fraction(1, 25))
    search = graph.add("mestimate", f"method=hexbs:mb_size={BLOCK}:search_param={SEARCH}")
    graph.link_nodes(source, graph.add("format", "yuv420p"), search, graph.add("buffersink")).configure()
    for index, frame_HWC in enumerate(frames_THWC):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame_HWC), format="rgb24")
        frame.pts = index
        graph.push(frame)
        if index:  # the filter outputs a frame once it has the next one
            (vectors,) = graph.pull().side_data
            table = vectors.to_ndarray()
            table = table[table["source"] == 1]  # motion into the next frame
            ends = [(table[f"src_{axis}"], table[f"dst_{axis}"]) for axis in "xy"]
            yield np.stack([np.int64(to) - start for to, start in ends], axis=1).astype(float)
