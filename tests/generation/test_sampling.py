import numpy as np
import pytest

from toolkit.errors import InputError
from toolkit.generation import GenerationOptions
from toolkit.generation.sampling import Sampler, candidates

LOGITS = np.log(np.array([0.05, 0.5, 0.15, 0.3], np.float32))


def draws(count: int = 4000, number: int = 0, **options: float | int) -> list[int]:
    sampler = Sampler(GenerationOptions(**options), number)  # type: ignore[arg-type]  # by name
    return [sampler.choose(LOGITS, []) for _ in range(count)]


def test_temperature_zero_takes_the_likeliest_token() -> None:
    assert set(draws(5)) == {1}


def test_draws_follow_the_probabilities() -> None:
    shares = np.bincount(draws(temperature=1.0), minlength=4) / 4000
    assert shares == pytest.approx([0.05, 0.5, 0.15, 0.3], abs=0.03)


def test_a_low_temperature_sharpens() -> None:
    powers = np.array([0.05, 0.5, 0.15, 0.3]) ** 2
    shares = np.bincount(draws(temperature=0.5), minlength=4) / 4000
    assert shares == pytest.approx(powers / powers.sum(), abs=0.03)


def test_top_k_keeps_the_likeliest() -> None:
    ids, probabilities = candidates(LOGITS, GenerationOptions(temperature=1.0, top_k=2))
    assert ids.tolist() == [1, 3]
    assert probabilities == pytest.approx([0.625, 0.375])


@pytest.mark.parametrize("top_p, kept", [(0.4, [1]), (0.5001, [1, 3]), (0.94, [1, 3, 2])])
def test_top_p_keeps_the_token_that_crosses_the_sum(top_p: float, kept: list[int]) -> None:
    ids, probabilities = candidates(LOGITS, GenerationOptions(temperature=1.0, top_p=top_p))
    assert ids.tolist() == kept
    assert probabilities.sum() == pytest.approx(1)


def test_a_seed_repeats_its_draws_and_another_does_not() -> None:
    assert draws(50, temperature=1.0, seed=3) == draws(50, temperature=1.0, seed=3)
    assert draws(50, temperature=1.0, seed=3) != draws(50, temperature=1.0, seed=4)
    assert draws(50, number=1, temperature=1.0) != draws(50, number=2, temperature=1.0)


def test_repetition_costs_whatever_the_sign_of_the_logit() -> None:
    sampler = Sampler(GenerationOptions(repetition_penalty=2.0), 0)
    assert sampler.choose(np.array([3.0, 2.0, -1.0], np.float32), [0]) == 1
    assert sampler.choose(np.array([-1.0, -1.5, -9.0], np.float32), [0]) == 1
    given = np.array([3.0, 2.0], np.float32)
    sampler.choose(given, [0, 0, 0])
    assert given.tolist() == [3.0, 2.0]


@pytest.mark.parametrize(
    "options, told",
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_p": 0.0, "temperature": 1.0}, "top_p is 0.0"),
        ({"top_k": 5}, "top_k chooses what is drawn among"),
        ({"stop": ("",)}, "stop is"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        GenerationOptions(**options)  # type: ignore[arg-type]  # by name
