"""The class weights against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from dynsweep.loss import class_weights, sample_losses


def weights(step: int, period: int, amplitude: float, **options: object) -> list[float]:
    options = {"steps": 10**6, **options}
    return class_weights(
        step,
        torch.tensor([period]),
        torch.tensor([amplitude], dtype=torch.float64),
        3,
        **options,  # type: ignore[arg-type]
    )[0].tolist()


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, (1, 1, 1)),
        (1, (1.5, 0.75, 0.75)),  # g = 2: 3 * 2 / 4, 3 / 4, 3 / 4
        (2, (1.8, 0.6, 0.6)),  # g = A = 3 at half the period: 9 / 5, 3 / 5, 3 / 5
        (3, (1.5, 0.75, 0.75)),
        (4, (1, 1, 1)),  # the next cycle emphasises class 1
        (6, (0.6, 1.8, 0.6)),
        (10, (0.6, 0.6, 1.8)),
        (14, (1.8, 0.6, 0.6)),  # back at class 0
    ],
)
def test_cycle_by_hand(step: int, expected: tuple[float, ...]) -> None:
    assert weights(step, 4, 3.0) == pytest.approx(expected, abs=1e-15)


def test_odd_period_never_reaches_the_amplitude() -> None:
    # T = 5, A = 11: g(2) = 1 + 10 * (1 - |4/5 - 1|) = 9, G = 27 / 11 and 3 / 11
    assert weights(2, 5, 11.0) == pytest.approx((27 / 11, 3 / 11, 3 / 11), abs=1e-15)


def test_notebook_counting_takes_one_step_more() -> None:
    # s = 0..4 within a cycle of T + 1 = 5 steps; at s = T g is 1 again.
    assert weights(2, 4, 3.0, counting="notebook") == pytest.approx((1.8, 0.6, 0.6))
    assert weights(4, 4, 3.0, counting="notebook") == pytest.approx((1, 1, 1))
    assert weights(5, 4, 3.0, counting="notebook") == pytest.approx((1, 1, 1))
    assert weights(7, 4, 3.0, counting="notebook") == pytest.approx((0.6, 1.8, 0.6))


def test_last_period_is_static_unless_switched_off() -> None:
    assert weights(14, 4, 3.0, steps=20) == pytest.approx((1.8, 0.6, 0.6))
    assert weights(18, 4, 3.0, steps=20) == pytest.approx((1, 1, 1))
    assert weights(18, 4, 3.0, steps=20, last_period_static=False) == pytest.approx(
        (0.6, 1.8, 0.6)
    )


def test_amplitude_one_is_static_and_weights_always_sum_to_the_classes() -> None:
    period, amplitude = torch.tensor([1, 2, 7, 100]), torch.tensor([1.0, 5.0, 70.0, 1e6]).double()
    for step in range(300):
        both = class_weights(step, period, amplitude, 5, steps=10**6)
        assert torch.allclose(both.sum(-1), torch.full((4,), 5.0).double(), atol=1e-12)
        assert torch.equal(both[0], torch.ones(5).double())


def test_sample_losses_by_hand() -> None:
    logits = torch.tensor([[[0.0, math.log(2), math.log(3)]]], dtype=torch.float64)
    for label, share in enumerate((1 / 6, 2 / 6, 3 / 6)):
        loss = sample_losses(logits, torch.tensor([label])).item()
        assert loss == pytest.approx(-math.log(share), abs=1e-15)
