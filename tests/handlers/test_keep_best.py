"""The best weights by validation, and when to stop."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch
from ignite.engine import Engine, Events
from monai.handlers.validation_handler import ValidationHandler
from torch import nn
from torch.utils.data import DataLoader

from semimed_monai.engines import SectionEvaluator
from semimed_monai.handlers import KeepBest
from semimed_monai.metrics import GradingScore

Make = Callable[..., Any]


class Run:
    """A validator whose score is set by hand, a network of one number, and the handler."""

    def __init__(self, folder: Path, **given: Any) -> None:
        self.validator = Engine(lambda _engine, _batch: None)
        self.trainer = Engine(lambda _engine, _batch: None)
        self.trainer.remembered = {}  # type: ignore[attr-defined]
        self.network = nn.Linear(1, 1, bias=False)
        self.network.arguments = {"width": 16}  # type: ignore[assignment]
        self.file = folder / "models" / "model.pt"
        self.handler = KeepBest(self.validator, "f1", [{"path": self.file, "network": self.network}], **given)
        self.handler.attach(self.trainer)

    def validate(self, *scores: float) -> None:
        """Score k is of epoch k, in which the network's number is k."""
        for score in scores:
            epoch = (self.validator.state.epoch or 0) + 1
            self.validator.state.epoch = epoch
            self.network.weight.data.fill_(epoch)
            self.validator.state.metrics["f1"] = score
            self.validator.fire_event(Events.COMPLETED)

    def kept(self) -> float:
        return float(torch.load(self.file, weights_only=True)["weight"])


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ((0.3, 0.5, 0.4), 2),
        ((0.5, 0.5, 0.5), 1),
        ((0.3, math.nan, 0.2), 1),
        ((math.nan, 0.1, math.nan), 2),
        ((0.0,), 1),
        ((-2.0, -1.0), 2),
    ],
)
def test_the_first_of_the_largest(run: Run, scores: tuple[float, ...], best: int) -> None:
    run.validate(*scores)
    assert run.kept() == best
    assert (run.handler.best, run.handler.best_epoch) == (scores[best - 1], best)


def test_a_run_that_kept_nothing_says_so(run: Run) -> None:
    run.validate(math.nan, math.nan)
    with pytest.raises(ValueError, match="no validation gave a f1 that is a number"):
        run.trainer.fire_event(Events.COMPLETED)


def test_epochs_of_a_first_stage_do_not_count(tmp_path: Path) -> None:
    run = Run(tmp_path, first_epoch=3, patience=2)
    run.validate(0.9, 0.8, 0.5, 0.6)
    assert run.kept() == 4
    run.validate(0.4)
    assert not run.trainer.should_terminate
    too_short = Run(tmp_path, first_epoch=3)
    too_short.trainer.state.max_epochs = 2
    with pytest.raises(ValueError, match=r"epoch 3 is the first whose weights may be kept.*raise max_epochs"):
        too_short.trainer.fire_event(Events.STARTED)


def test_never_a_number_never_a_file(run: Run) -> None:
    run.validate(math.nan, math.nan)
    assert not run.file.exists()
    assert run.handler.best == -math.inf


def test_every_network_is_kept_and_the_card_lies_beside_the_first(tmp_path: Path) -> None:
    run = Run(tmp_path, card={"size": 96, "classes": ["normal", "full"]})
    student = nn.Linear(2, 1)
    run.handler.save[tmp_path / "output" / "student.pt"] = student
    run.validate(0.5)
    card = json.loads((tmp_path / "models" / "network.json").read_text())
    assert card == {"arguments": {"width": 16}, "size": 96, "classes": ["normal", "full"]}
    kept = torch.load(tmp_path / "output" / "student.pt", weights_only=True)
    assert all(torch.equal(kept[name], value) for name, value in student.state_dict().items())
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert found == ["models/model.pt", "models/network.json", "output/student.pt"]


def test_without_a_card_no_card(run: Run) -> None:
    run.validate(0.5)
    assert not run.file.with_name("network.json").exists()


def test_patience_counts_validations_since_the_best(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = Run(tmp_path, patience=2)
    run.validate(0.5, 0.4, 0.6, 0.6)
    assert not run.trainer.should_terminate
    with caplog.at_level("INFO", logger="semimed"):
        run.validate(math.nan)
    assert run.trainer.should_terminate
    assert "no better f1 in 2 validations" in caplog.text


def test_without_patience_it_never_stops(run: Run) -> None:
    run.validate(0.5, *[0.1] * 50)
    assert not run.trainer.should_terminate


def test_its_state_goes_on_in_another_run(tmp_path: Path) -> None:
    run = Run(tmp_path, patience=2)
    run.validate(0.5, 0.4)
    assert vars(run.trainer)["remembered"] == {"best": run.handler}
    other = Run(tmp_path, patience=2)
    other.handler.load_state_dict(run.handler.state_dict())
    other.validator.state.epoch = 2
    other.validate(0.5)
    assert other.kept() == 1
    assert other.trainer.should_terminate
    assert other.handler.state_dict() == {"best": 0.5, "best_epoch": 1, "validations_since": 2}


def half_a_file(_content: Any, file: BinaryIO) -> None:
    file.write(b"PK half a file")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_weights_and_their_card_change_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a folder has an earlier run's: after a write that failed both are the earlier run's."""
    Run(tmp_path, card={"size": 96}).validate(0.5)
    later = Run(tmp_path, card={"size": 128})
    monkeypatch.setattr(torch, "save", half_a_file)
    with pytest.raises(OSError, match=r"^\S+/model.pt cannot be written \(No space left"):
        later.validate(0.4, 0.6)
    assert later.kept() == 1
    assert json.loads(later.file.with_name("network.json").read_text())["size"] == 96
    assert sorted(path.name for path in later.file.parent.iterdir()) == ["model.pt", "network.json"]


def test_a_write_that_fails_leaves_the_old_file(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.validate(0.5)
    monkeypatch.setattr(torch, "save", half_a_file)
    with pytest.raises(OSError, match="No space left"):
        run.validate(0.6)
    assert run.kept() == 1
    assert [path.name for path in run.file.parent.iterdir()] == ["model.pt"]


def test_a_metric_that_validation_does_not_have(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.handler.metric = "accuracy"
    with pytest.raises(ValueError, match="validation has no metric 'accuracy'; it has f1"):
        run.validate(0.5)


@pytest.mark.parametrize(
    ("interval", "epochs", "expected"), [(1, 2, [1, 2]), (2, 3, [2, 3]), (2, 4, [2, 4]), (9, 2, [2])]
)
def test_the_last_epoch_is_validated_once_whatever_the_interval(
    tmp_path: Path,
    make_trainer: Make,
    make_net: Make,
    make_rows: Make,
    interval: int,
    epochs: int,
    expected: list[int],
) -> None:
    """With MONAI's ValidationHandler. The file that an earlier run left is not taken for this run's."""
    network, file = make_net(), tmp_path / "model.pt"
    torch.save(make_net(seed=7).state_dict(), file)
    validator = SectionEvaluator(
        "cpu", DataLoader(make_rows(6, 0), batch_size=6), network, key_val_metric={"f1": GradingScore("f1")}
    )
    seen: dict[int, torch.Tensor] = {}
    best = KeepBest(validator, "f1", [{"path": file, "network": network}])
    trainer = make_trainer([ValidationHandler(interval, validator), best], network=network, max_epochs=epochs)
    validated: list[int] = []

    @validator.on(Events.COMPLETED)  # type: ignore[untyped-decorator]
    def _note() -> None:
        validated.append(trainer.state.epoch)
        seen[trainer.state.epoch] = network.first.weight.detach().clone()

    trainer.run()
    assert validated == expected
    assert best.best_epoch in expected
    assert torch.equal(torch.load(file, weights_only=True)["first.weight"], seen[best.best_epoch])
