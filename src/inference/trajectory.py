"""Predictions of the data at the steps of a sampling run, from its states alone.

Shapes: B batch; ... is any shape of a sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from src.flow.path import predict_data
from src.flow.solvers import expand_time


@dataclass(frozen=True)
class Prediction:
    """Data x_1 [B, ...] that the model expects at a flow time in [0, 1)."""

    step: int
    t: float
    data: Tensor


class Trajectory:
    """Collects the states of a solver: pass `on_step` to the sampler.

    Args:
        noise: the state before the first step [B, ...].
        times: of the solver, one more than steps.
    """

    def __init__(self, noise: Tensor, times: Tensor) -> None:
        self.times: list[float] = times.double().tolist()
        self._states = [noise]

    def on_step(self, index: int, x: Tensor) -> None:
        self._states.append(x)

    def predictions(self, num_predictions: int) -> list[Prediction]:
        """Return predictions at steps as evenly spaced as can be, the first and the last one among them.

        The velocity of a step is its difference quotient: of Euler's method the model's own, of higher
        orders its mean over the step.
        """
        num_steps = len(self._states) - 1
        count = min(num_predictions, num_steps)
        steps = sorted({round(k * (num_steps - 1) / max(count - 1, 1)) for k in range(count)})
        return [self._predict(step, self._states[step : step + 2]) for step in steps]

    def _predict(self, step: int, states: Sequence[Tensor]) -> Prediction:
        start, end = self.times[step : step + 2]
        velocity = (states[1] - states[0]) / (end - start)
        return Prediction(step, start, predict_data(states[0], velocity, expand_time(start, states[0])))
