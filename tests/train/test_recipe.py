# ruff: noqa: E402
from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")

from train.base.errors import RunError
from train.base.recipe import Recipe
from train.envnet import EnvNetSystem
from train.pocket import Pocket
from train.pocket_parts.recipe import PocketRecipe
from train.run_folder.load_network import read_recipe

pytestmark = pytest.mark.train


def steps(**changes) -> Recipe:
    fields = {"epochs": 100, "batch_size": 4, "optimiser": "sgd", "learning_rate": 1.0}
    return Recipe(**{**fields, "schedule": "steps", "drops": (0.5, 0.75), **changes})


def test_steps_drop_by_ten_at_their_fractions():
    recipe = steps()
    rates = [recipe.rate_at(p) for p in (0, 0.49, 0.5, 0.74, 0.75, 0.999)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_steps_warm_up_at_a_tenth():
    recipe = steps(warm_up=0.01)
    assert recipe.rate_at(0.009) == pytest.approx(0.1)
    assert recipe.rate_at(0.01) == 1


def test_one_cycle_rises_to_its_peak_and_falls_to_next_to_nothing():
    recipe = steps(schedule="one-cycle", warm_up=0.2, learning_rate=4e-3)
    rates = [recipe.rate_at(k / 100) for k in range(101)]
    assert max(rates) == rates[20] == pytest.approx(4e-3)
    assert rates[:21] == sorted(rates[:21])
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert rates[0] == pytest.approx(4e-3 / 25)
    assert rates[100] == pytest.approx(4e-7)


def test_linear_one_cycle_rises_and_falls_in_lines():
    recipe = steps(schedule="one-cycle-linear", warm_up=0.3)
    rates = [recipe.rate_at(p) for p in (0, 0.15, 0.3, 0.65, 1)]
    assert rates == pytest.approx([0.04, 0.52, 1, 0.5, 1e-4], abs=1e-4)


def test_adam_adds_its_decay_to_the_gradient():
    optimiser = steps(optimiser="adam", weight_decay=1e-4).optimiser_for(torch.nn.Linear(2, 2))
    assert type(optimiser) is torch.optim.Adam
    assert optimiser.defaults["weight_decay"] == 1e-4


def test_cosine_rises_in_a_line():
    recipe = steps(schedule="cosine", warm_up=0.1)
    assert recipe.rate_at(0.05) == pytest.approx(0.5)
    assert recipe.rate_at(0.55) == pytest.approx(0.5, abs=1e-3)


def test_trapezoid_is_the_same_whatever_its_length_until_it_falls():
    recipe = steps(schedule="trapezoid", warm_up=0.02, drops=(0.8,))
    assert recipe.rate_at(0.01) == pytest.approx(0.5)
    assert [recipe.rate_at(p) for p in (0.02, 0.3, 0.79)] == [1.0] * 3
    assert [recipe.rate_at(p) for p in (0.9, 1)] == pytest.approx([0.5, 1e-4])


def test_shortened_schedule_has_the_same_shape():
    full, short = EnvNetSystem.default_recipe(), EnvNetSystem.default_recipe().shortened(8)
    assert (full.epochs, short.epochs) == (600, 8)
    rates = [short.rate_at(k / 8) for k in range(8)]
    assert rates == pytest.approx([0.01] * 4 + [1e-3] * 2 + [1e-4] * 2)
    assert [full.rate_at(k / 8) for k in range(8)] == rates


def test_envnet_recipe_is_the_published_one():
    recipe = EnvNetSystem.default_recipe()
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (600, 64, 0.01)
    assert (recipe.drops, recipe.warm_up, recipe.weight_decay) == ((0.5, 0.75), 0.0, 5e-4)
    optimiser = recipe.optimiser_for(torch.nn.Linear(2, 2))
    assert isinstance(optimiser, torch.optim.SGD)
    assert optimiser.defaults["nesterov"]
    assert optimiser.defaults["momentum"] == 0.9


def test_adamw_decays_weights_alone():
    optimiser = Pocket.default_recipe().optimiser_for(torch.nn.Linear(3, 2))
    groups = {group["params"][0].ndim: group["weight_decay"] for group in optimiser.param_groups}
    assert groups == {2: 0.05, 1: 0.0}


def test_recipe_survives_json():
    recipe = Pocket.default_recipe()
    assert PocketRecipe.from_json(json.loads(json.dumps(recipe.as_json()))) == recipe
    envnet = EnvNetSystem.default_recipe()
    assert type(envnet).from_json(json.loads(json.dumps(envnet.as_json()))) == envnet


def test_a_run_that_is_older_than_a_field_did_without_it():
    recipe = Pocket.default_recipe().as_json()
    assert recipe.pop("quiet_share") > 0
    assert read_recipe(Pocket, {"recipe": recipe}).quiet_share == 0
    with pytest.raises(RunError, match=r"has no epochs, schedule; train anew"):
        read_recipe(
            Pocket, {"recipe": {k: recipe[k] for k in recipe.keys() - {"epochs", "schedule"}}}
        )
    with pytest.raises(RunError, match="pocket has no depth in its recipe"):
        read_recipe(Pocket, {"recipe": recipe | {"depth": 3}})
