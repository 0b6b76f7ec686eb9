"""What a person reads while a run goes on."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import pytest
from ignite.engine import Engine, Events

from semimed_monai.handlers import Console, RunState, announce, say_where

Make = Callable[..., Any]


@pytest.fixture(autouse=True)
def heard(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", logger="semimed")
    return caplog


def _lines(heard: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in heard.records if record.name == "semimed"]


def test_a_line_per_epoch_with_every_term(make_trainer: Make, heard: pytest.LogCaptureFixture) -> None:
    make_trainer([Console()]).run()
    lines = _lines(heard)
    assert [line.split(":")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    for name in ("loss", "classification", "attention", "class_consistency", "attention_consistency"):
        assert all(re.search(rf"[ :]{name} [0-9.e-]+(,|$)", line) for line in lines), name
    assert "validation" not in lines[0]
    assert "train_" not in lines[0]


def test_validation_joins_the_line_of_its_epoch(make_trainer: Make, heard: pytest.LogCaptureFixture) -> None:
    """Validated after epoch 2 only: an old score is not repeated."""
    validator = Engine(lambda _engine, _batch: None)

    class Validation:
        def attach(self, engine: Engine) -> None:
            engine.add_event_handler(Events.EPOCH_COMPLETED(once=2), self._score)

        def _score(self, engine: Engine) -> None:
            validator.state.epoch = engine.state.epoch
            validator.state.metrics = {"f1": 0.51239}

    make_trainer([Validation(), Console(validator)], max_epochs=3).run()
    assert ["validation: f1 0.5124" in line for line in _lines(heard)] == [False, True, False]


def test_the_bar_counts_the_runs_batches(make_trainer: Make, capsys: pytest.CaptureFixture[str]) -> None:
    make_trainer([Console()]).run()
    assert "epoch 2/2: 100%" in capsys.readouterr().err


def test_after_a_resume_the_bar_starts_at_what_is_done(
    tmp_path: Path, make_trainer: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    make_trainer([RunState(tmp_path / "run_state.pt")], max_epochs=1).run()
    make_trainer([Console(), RunState(tmp_path / "run_state.pt", resume=True)], max_epochs=4).run()
    shown = re.findall(r"(\d+)%\|[^|]*\| (\d+)/12 ", capsys.readouterr().err)
    assert (shown[0], shown[-1]) == (("25", "3"), ("100", "12"))


def test_what_a_run_says_first_and_last(tmp_path: Path, heard: pytest.LogCaptureFixture) -> None:
    """Of places only those that there are."""
    model = tmp_path / "model.pt"
    model.touch()
    announce(profile="phantom", dataset_dir="", data="12 items")
    say_where(model=str(model), metrics=str(tmp_path / "metrics.json"))
    text = "\n".join(_lines(heard))
    assert "built-in phantoms" in text
    assert "--dataset_dir FOLDER" in text
    assert "Profile 'phantom'" in text
    assert "12 items" in text
    assert text.endswith(f"Done.\n  model       {model}")


def test_with_a_data_set_there_is_no_word_of_phantoms(heard: pytest.LogCaptureFixture) -> None:
    announce(profile="paper", dataset_dir="/data", data="9 items")
    assert "phantom" not in "\n".join(_lines(heard))


def test_other_processes_are_silent(
    make_trainer: Make,
    heard: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = make_trainer()
    with monkeypatch.context() as patch:
        patch.setattr(idist, "get_rank", lambda: 1)
        Console().attach(trainer)
        announce(profile="phantom", dataset_dir="", data="12 items")
        say_where(model="/a/model.pt")
    trainer.run()
    assert _lines(heard) == []
    assert "epoch" not in capsys.readouterr().err
