"""The class weights against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dynsweep.loss import class_weights, sample_losses


def weights(step: int, period: int, amplitude: float, **options: object) -> list[float]:
    options = {"steps": 10**6, **options}
    numbers = (np.array(float(number)) for number in (step, period, amplitude))
    found: list[float] = class_weights(*numbers, 3, **options).tolist()  # type: ignore[arg-type]
    return found


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


def test_a_static_end_is_static() -> None:
    assert weights(13, 4, 3.0, steps=20, static_end=0.3) == pytest.approx((1.5, 0.75, 0.75))
    assert weights(14, 4, 3.0, steps=20, static_end=0.3) == pytest.approx((1, 1, 1))


@pytest.mark.parametrize("counting", ["paper", "notebook"])
def test_static_weights_are_one_and_all_sum_to_the_classes(counting: str) -> None:
    steps = np.arange(300.0)[:, None]
    period, amplitude = np.array([1.0, 2, 7, 100]), np.array([1.0, 5, 70, 1e6])
    whole = class_weights(steps, period, amplitude, 5, steps=10**6, counting=counting)
    assert whole.shape == (300, 4, 5)
    np.testing.assert_allclose(whole.sum(-1), 5, atol=1e-12)
    assert (whole[:, 0] == 1).all()


def test_numpy_and_pytorch_agree() -> None:
    """On a GPU the tables are computed there."""
    numbers = np.arange(500.0), np.array([[7.0], [40.0]]), np.array([[5.0], [70.0]])
    ours = class_weights(*numbers, 3, steps=450, static_end=0.1)
    theirs = class_weights(*map(torch.as_tensor, numbers), 3, steps=450, static_end=0.1)
    np.testing.assert_array_equal(theirs.numpy(), ours)


def test_cycles_are_exact_at_any_time() -> None:
    """A quotient that is rounded must not begin a cycle early."""
    for period in (3, 7, 49, 99_991):
        step = np.arange(1, 10**5) * period
        step = np.concatenate([step - 1, step])
        numbers = (np.array(float(one)) for one in (period, 3))
        found = class_weights(step.astype(float), *numbers, 5, steps=10**12)
        emphasised = step // period % 5
        risen = step % period > 0
        assert (found.argmax(-1)[risen] == emphasised[risen]).all()
        assert (found[~risen] == 1).all()


def test_sample_losses_by_hand() -> None:
    logits = torch.tensor([[[0.0, math.log(2), math.log(3)]]], dtype=torch.float64)
    for label, share in enumerate((1 / 6, 2 / 6, 3 / 6)):
        loss = sample_losses(logits, torch.tensor([label])).item()
        assert loss == pytest.approx(-math.log(share), abs=1e-15)
