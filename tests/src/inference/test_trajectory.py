"""Predictions of the data at the steps of sampling."""

import torch
from torch import Tensor

from src.flow.config import SamplerConfig
from src.flow.path import sample_path
from src.flow.sampling import sample
from src.flow.schedules import solver_times
from src.inference.trajectory import Trajectory

DATA, NOISE = torch.tensor([[1.0, -2.0, 3.0]]), torch.tensor([[0.5, 0.25, -1.0]])
STRAIGHT = sample_path(DATA, NOISE, torch.zeros(1)).velocity


def trajectory_of(sampler: SamplerConfig, velocity) -> Trajectory:
    trajectory = Trajectory(NOISE, solver_times(sampler))
    sample(velocity, NOISE, sampler, trajectory.on_step)
    return trajectory


def test_every_step_of_the_straight_path_predicts_the_data() -> None:
    for solver in ("euler", "midpoint"):
        sampler = SamplerConfig(solver=solver, num_steps=7, guidance_scale=1.0)
        found = trajectory_of(sampler, lambda x, t: STRAIGHT).predictions(7)
        assert [each.step for each in found] == list(range(7))
        assert [each.t for each in found] == solver_times(sampler).double().tolist()[:-1]
        for each in found:
            torch.testing.assert_close(each.data, DATA, rtol=1e-4, atol=1e-4)


def test_a_prediction_is_that_of_its_own_step() -> None:
    """A velocity that turns: the first steps point elsewhere than the last."""
    other = sample_path(-DATA, NOISE, torch.zeros(1)).velocity

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        return other if float(t[0]) < 0.5 else STRAIGHT

    sampler = SamplerConfig(num_steps=10, schedule="linear", guidance_scale=1.0)
    first, middle, last = trajectory_of(sampler, velocity).predictions(3)
    assert [each.step for each in (first, middle, last)] == [0, 4, 9]
    torch.testing.assert_close(first.data, -DATA, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(middle.data, -DATA, rtol=1e-4, atol=1e-4)
    assert (last.data - first.data).abs().max() > 0.1


def test_number_of_predictions() -> None:
    sampler = SamplerConfig(num_steps=3, guidance_scale=1.0)
    trajectory = trajectory_of(sampler, lambda x, t: STRAIGHT)
    assert [[each.step for each in trajectory.predictions(n)] for n in (1, 2, 9)] == [[0], [0, 2], [0, 1, 2]]
