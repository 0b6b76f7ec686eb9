"""Names that a command gives and its recipe does not have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import run

from semimed_monai.overrides import refuse_unknown_overrides, unknown_keys, words_for_numbers

RECIPE: dict[str, Any] = {
    "labelled_share": 0.1,
    "seed": 0,
    "phantoms": {"_target_": "semimed_monai.data.phantoms.knee_phantom_set", "_disabled_": True, "people": 8},
    "scale": {"_target_": "torch.add", "input": 1},
    "handlers": [{"interval": 1}],
    "initialize": [{"_target_": "semimed_monai.overrides.refuse_unknown_overrides"}],
    "run": ["$print('share', @labelled_share)"],
}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = tmp_path / "train.json"
    file.write_text(json.dumps(RECIPE))
    return file


@pytest.mark.parametrize(
    "key",
    ["seed", "phantoms#people", "phantoms::people", "phantoms#seed", "phantoms#_disabled_", "handlers#0#interval"],
)
def test_what_the_recipe_has_or_a_component_takes_is_known(recipe: Path, key: str) -> None:
    assert unknown_keys([recipe], {key: 1}) == []


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("labeled_share", "'labeled_share': did you mean 'labelled_share'?"),
        ("phantoms#poeple", "'phantoms#poeple': did you mean 'phantoms#people'?"),
        ("handlers#0#intervall", "'handlers#0#intervall': did you mean 'handlers#0#interval'?"),
        ("zzz", "'zzz'"),
    ],
)
def test_what_nothing_takes_is_unknown(recipe: Path, key: str, said: str) -> None:
    assert unknown_keys([recipe], {"seed": 3, key: 1}) == [said]


def test_a_key_may_be_of_what_an_earlier_one_brings(recipe: Path) -> None:
    assert unknown_keys([recipe], {"phantoms": {"_target_": "builtins.dict"}, "phantoms#anything": 1}) == []


def test_a_command_with_a_misspelt_name_does_not_run(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError) as raised:
        run("run", config_file=str(recipe), labeled_share=0.5)
    assert "train.json has no such settings; correct the command:" in str(raised.value.__cause__)
    assert "did you mean 'labelled_share'?" in str(raised.value.__cause__)
    assert "share" not in capsys.readouterr().out


@pytest.mark.parametrize(("key", "value"), [("seed", "one"), ("rate", "fast"), ("phantoms#people", "few")])
def test_words_are_no_numbers(recipe: Path, key: str, value: str) -> None:
    content = json.loads(recipe.read_text())
    content |= {"rate": "$@settings['rate']", "profiles": {"phantom": {"rate": 0.1}, "table": "%profiles#phantom"}}
    content["phantoms"]["people"] = 8
    recipe.write_text(json.dumps(content))
    assert words_for_numbers([recipe], {key: value, "labelled_share": "$1 / 2"}) == [f"{key} {value!r}"]
    assert words_for_numbers([recipe], {key: 3, "rate": "@seed"}) == []


def test_a_command_with_words_for_numbers_does_not_run(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError) as raised:
        run("run", config_file=str(recipe), labelled_share="ten")
    assert "train.json has numbers there; correct the command:\n  - labelled_share 'ten'" in str(raised.value.__cause__)
    assert "share" not in capsys.readouterr().out


def test_a_command_that_is_right_runs(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also by an arguments file, with what the command itself takes."""
    arguments = tmp_path / "arguments.json"
    arguments.write_text(json.dumps({"config_file": str(recipe), "labelled_share": 0.5, "workflow_type": "train"}))
    run("run", args_file=str(arguments), seed=1)
    assert "share 0.5" in capsys.readouterr().out


@pytest.mark.parametrize("key", ["train#dataset#data", "train::dataset::data"])
def test_a_recipe_of_a_datalist_is_given_no_images(recipe: Path, key: str) -> None:
    content = json.loads(recipe.read_text())
    content["train"] = {"dataset": {"data": "$[]"}}
    recipe.write_text(json.dumps(content))
    pairs = [{"image": "a.png", "label": "b.png"}]
    run("run", config_file=str(recipe), **{key: pairs})
    content["initialize"][0]["datalist_only"] = True
    recipe.write_text(json.dumps(content))
    with pytest.raises(RuntimeError) as raised:
        run("run", config_file=str(recipe), **{key: pairs})
    assert "does not train in MONAI Label" in str(raised.value.__cause__)


def test_without_a_command_nothing_is_looked_at() -> None:
    refuse_unknown_overrides()
