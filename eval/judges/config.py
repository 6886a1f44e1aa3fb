"""Settings of judges; this module imports no torch."""

from dataclasses import dataclass
from typing import Literal

from eval.core.axes import Axis
from src.core.fields import Config, opt


@dataclass(frozen=True, kw_only=True)
class JudgeScoreConfig(Config):
    """Meaning of a score that a judge returns."""

    better: int = opt(1, "1: higher is better, -1: lower, 0: neither", choices=(-1, 0, 1))
    low: float = opt(0.0, "lowest possible value; an answer outside is refused")
    high: float = opt(1.0, "highest possible value; 0 and 1: shown in per cent")
    text: str = opt("", "one line for tables")


@dataclass(frozen=True, kw_only=True)
class JudgeConfig(Config):
    """A program on this machine or an HTTP server that answers questions about samples."""

    command: tuple[str, ...] = opt((), "program that reads a JSON line on its input and answers with one")
    url: str = opt("", "server that a JSON object is posted to, in place of a program")
    question: str = opt("", "question that goes into each request")
    axis: Literal["quality", "alignment"] = opt("quality", "axis of the scores")
    sub_axis: str = opt("overall", "the paper's sub-axis")
    scores: dict[str, JudgeScoreConfig] = opt({}, "scores that it returns, by name")
    num_frames: int = opt(
        0, "frames of the video in each request as PNG, evenly spaced; 0: only the file's path", ge=0
    )
    version: str = opt("", "version of the judge, recorded with the scores")
    timeout_s: float = opt(600.0, "seconds after which an answer is given up", gt=0)
    num_retries: int = opt(2, "further attempts where a server does not answer or is busy", ge=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.command and self.url:
            raise ValueError("command, url: give only one of them")
        if self.url and not self.url.startswith(("http://", "https://")):
            raise ValueError(f"url: expected http:// or https://, got {self.url!r}")
        Axis(self.axis, self.sub_axis)

    def require_address(self, key: str) -> None:
        """Raise ValueError if there is neither a program nor a server; `key` is this config's."""
        if not self.command and not self.url:
            raise ValueError(f"{key}: give the judge's command or url")
