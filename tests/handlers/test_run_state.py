"""A killed run goes on to the same weights, bit for bit; a file it cannot go on from is refused with one message."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from kornia.augmentation import RandomAffine, RandomGaussianNoise
from torch import Tensor
from torch.utils.data import DataLoader

from semimed_monai.handlers import Console, KeepBest, RunState, RunStateError
from semimed_monai.losses import ClassConsistency, Criterion, CrossEntropy, SigmoidRamp, Term
from semimed_monai.networks import Teacher
from semimed_monai.views import Views
from semimed_monai.vocabulary import Step

Make = Callable[..., Any]


def _drawn() -> float:
    """From Python's and numpy's global generators, as MONAI's transforms may draw."""
    return random.random() + np.random.normal()  # noqa: NPY002


class Drifting(Term):
    """Pulls towards an average that it remembers, with numpy's and Python's randomness."""

    def __init__(self) -> None:
        super().__init__()
        self.average: Tensor
        self.register_buffer("average", torch.zeros(3))

    def forward(self, step: Step) -> Tensor:
        assert step.student.logits is not None
        mean = step.student.logits.mean(0)
        self.average = 0.9 * self.average + 0.1 * mean.detach() * _drawn()
        value: Tensor = (mean - self.average).square().mean()
        return value


class Validation:
    """Stands for MONAI's ValidationHandler: a score after every epoch."""

    def __init__(self) -> None:
        self.engine = Engine(lambda _engine, _batch: None)

    def attach(self, trainer: Engine) -> None:
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._score)

    def _score(self, trainer: Engine) -> None:
        self.engine.state.epoch = trainer.state.epoch
        self.engine.state.metrics["f1"] = 1 / trainer.state.epoch
        self.engine.fire_event(Events.COMPLETED)


class Schedule:
    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler

    def attach(self, trainer: Engine) -> None:
        trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: self.scheduler.step())  # noqa: PLW0108 (it takes an epoch)


class Killed:
    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def attach(self, trainer: Engine) -> None:
        trainer.add_event_handler(Events.ITERATION_COMPLETED(once=self.iteration), self._kill)

    def _kill(self) -> None:
        raise KeyboardInterrupt


def _trainer(
    make_trainer: Make,
    make_net: Make,
    folder: Path,
    seed: int,
    *handlers: Any,
    resume: bool = False,
    patience: int | None = None,
    every: int = 1,
) -> Any:
    """Everything that has a state: momenta, a schedule, dropout, views, a ramp, a term's memory, the best so far."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    network = make_net(seed=seed, dropout=0.3)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    validation = Validation()
    files = [{"path": folder / f"best{seed}.pt", "network": network}]
    best = KeepBest(validation.engine, "f1", files, patience=patience)
    state = RunState(folder / "run_state.pt", resume, also={"scheduler": scheduler}, every=every)
    terms = {
        "classification": CrossEntropy(),
        "class_consistency": ClassConsistency(weight=10.0, ramp=SigmoidRamp()),
        "drifting": Drifting(),
    }
    noise = RandomGaussianNoise(std=0.2, p=0.8)
    return make_trainer(
        [*handlers, Schedule(scheduler), validation, best, state],
        network=network,
        teacher=Teacher(network),
        optimizer=optimizer,
        max_epochs=4,
        criterion=Criterion(terms),
        views=Views([RandomAffine(10.0, p=0.5)], [noise], [noise]),
    )


def _tensors(trainer: Any) -> dict[str, Tensor]:
    """All that the run has become, flat, and the next random numbers."""
    found: dict[str, Tensor] = {}

    def add(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                add(f"{name}.{key}", inner)
        elif isinstance(value, (list, tuple)):
            add(name, dict(enumerate(value)))
        elif isinstance(value, (Tensor, int, float)):
            found[name] = torch.as_tensor(value).clone()

    for name, kept in trainer.remembered.items():
        add(name, kept.state_dict())
    add("counters", [trainer.state.epoch, trainer.state.iteration, trainer.state.optimiser_step])
    add("next", [torch.rand(3), _drawn()])
    return found


def test_a_killed_run_goes_on_bit_for_bit(tmp_path: Path, make_trainer: Make, make_net: Make) -> None:
    """Four epochs straight, against two, a kill in the middle of the third, and other objects that resume."""
    straight = _trainer(make_trainer, make_net, tmp_path / "straight", 0)
    straight.run()
    expected = _tensors(straight)

    killed = _trainer(make_trainer, make_net, tmp_path / "killed", 0, Killed(8))
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    resumed = _trainer(make_trainer, make_net, tmp_path / "killed", 1, resume=True)
    resumed.run()
    found = _tensors(resumed)

    assert set(found) == set(expected)
    assert len(found) > 40
    different = [name for name, value in expected.items() if not torch.equal(found[name], value)]
    assert different == []
    assert resumed.optimizer.param_groups[0]["lr"] == 0.01 / 2**4
    assert resumed.criterion.terms["drifting"].average.any()


def test_a_finished_run_has_nothing_to_go_on_with(tmp_path: Path, make_trainer: Make, make_net: Make) -> None:
    first = _trainer(make_trainer, make_net, tmp_path, 0)
    first.run()
    again = _trainer(make_trainer, make_net, tmp_path, 1, resume=True)
    again.add_event_handler(Events.ITERATION_STARTED, lambda: pytest.fail("it trains on"))
    again.run()
    assert all(
        torch.equal(one, other)
        for one, other in zip(first.student.state_dict().values(), again.student.state_dict().values(), strict=True)
    )


def test_a_run_that_patience_ended_does_not_train_on(tmp_path: Path, make_trainer: Make, make_net: Make) -> None:
    """The score falls from the first epoch on: after the third of four it ends, is written, and so it stays."""
    first = _trainer(make_trainer, make_net, tmp_path, 0, patience=2, every=2)
    first.run()
    assert first.state.iteration == 9
    again = _trainer(make_trainer, make_net, tmp_path, 1, resume=True, patience=2)
    again.add_event_handler(Events.ITERATION_STARTED, lambda: pytest.fail("it trains on"))
    again.run()
    kept = again.student.state_dict()
    assert [name for name, value in first.student.state_dict().items() if not torch.equal(value, kept[name])] == []


def test_without_a_file_the_run_starts_from_the_beginning(
    tmp_path: Path, make_trainer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = make_trainer([RunState(tmp_path / "run_state.pt", resume=True)])
    trainer.run()
    assert trainer.state.iteration == 6
    assert "there is no" in caplog.text
    assert "starts from the beginning" in caplog.text


def test_without_resume_a_file_is_not_read(tmp_path: Path, make_trainer: Make) -> None:
    path = tmp_path / "run_state.pt"
    path.write_bytes(b"something")
    trainer = make_trainer([RunState(path)])
    trainer.run()
    assert trainer.state.iteration == 6
    assert torch.load(path, weights_only=True)["counters"] == {"epoch": 2, "iteration": 6, "optimiser_step": 6}


def test_how_often_it_writes(tmp_path: Path, make_trainer: Make) -> None:
    """Every second epoch and the last."""
    path, written = tmp_path / "run_state.pt", []
    trainer = make_trainer([RunState(path, every=2)], max_epochs=5)

    def look(engine: Any) -> None:
        if path.is_file():
            written.append((engine.state.epoch, torch.load(path, weights_only=True)["counters"]["epoch"]))

    trainer.add_event_handler(Events.EPOCH_COMPLETED, look)
    trainer.run()
    assert written == [(2, 2), (3, 2), (4, 4), (5, 5)]
    assert [file.name for file in tmp_path.iterdir()] == ["run_state.pt"]


def test_ctrl_c_says_how_to_go_on(tmp_path: Path, make_trainer: Make, caplog: pytest.LogCaptureFixture) -> None:
    """Also with the console before it, which closes its bar on the same event."""
    trainer = make_trainer([Console(), RunState(tmp_path / "run_state.pt"), Killed(5)])
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert "stopped in epoch 2; the last whole epoch is in" in caplog.text
    assert "--resume True" in caplog.text


@pytest.mark.parametrize("resume", ["true", "false", "True", 1, 0, None])
def test_anything_but_a_bool_is_refused(resume: Any) -> None:
    with pytest.raises(ValueError, match="no bool: write --resume True or --resume False"):
        RunState("run_state.pt", resume=resume)


def _refused(trainer: Any, path: Path, message: str) -> None:
    with pytest.raises(RunStateError, match=message) as raised:
        trainer.run()
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


@pytest.fixture
def path(tmp_path: Path, make_trainer: Make) -> Path:
    """The state of a run of one epoch."""
    path = tmp_path / "run_state.pt"
    make_trainer([RunState(path)], max_epochs=1).run()
    return path


def test_another_network(path: Path, make_trainer: Make, make_net: Make) -> None:
    other = make_trainer([RunState(path, resume=True)], network=make_net(classes=4))
    _refused(other, path, "another student .*size mismatch for last.*resume with the settings of that run")


def test_another_optimiser(path: Path, make_trainer: Make, make_net: Make) -> None:
    network = make_net()
    other = torch.optim.SGD([{"params": [parameter]} for parameter in network.parameters()], lr=0.1)
    _refused(make_trainer([RunState(path, resume=True)], network=network, optimizer=other), path, "another optimiser")


def test_another_epoch_length(path: Path, make_trainer: Make, make_rows: Make) -> None:
    loader = DataLoader(make_rows(), batch_size=6)
    other = make_trainer([RunState(path, resume=True)], train_data_loader=loader)
    _refused(other, path, "batches per epoch 3 there, 2 here.*: resume with the settings of that run, or start without")


def test_other_parts(path: Path, make_trainer: Make) -> None:
    criterion = Criterion({"classification": CrossEntropy()})
    other = make_trainer([RunState(path, resume=True)], criterion=criterion, teacher=None)
    _refused(other, path, "other parts: teacher stands on one side only")


RUN = {"dataset": "5f1c", "labelled_share": 0.1, "seed": 0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, r"\(seed 0 there, 1 here\)"),
        ({"labelled_share": 0.2}, r"\(labelled_share 0.1 there, 0.2 here\)"),
        ({"dataset": "77aa"}, r"\(dataset 5f1c there, 77aa here\)"),
        ({"seed": 1, "labelled_share": 1}, r"\(labelled_share 0.1 there, 1 here; seed 0 there, 1 here\)"),
        ({"fold": 3}, r"\(fold none there, 3 here\)"),
    ],
)
def test_another_run(tmp_path: Path, make_trainer: Make, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "run_state.pt"
    make_trainer([RunState(path, identity=RUN)], max_epochs=1).run()
    other = make_trainer([RunState(path, resume=True, identity={**RUN, **change})])
    other.add_event_handler(Events.ITERATION_STARTED, lambda: pytest.fail("it trains on"))
    _refused(other, path, message + ": resume with the settings of that run, or start without --resume True")


def test_the_same_run(tmp_path: Path, make_trainer: Make) -> None:
    """A share that was written 1.0 and is now 1 is the same."""
    path = tmp_path / "run_state.pt"
    make_trainer([RunState(path, identity={**RUN, "labelled_share": 1.0})], max_epochs=1).run()
    again = make_trainer([RunState(path, resume=True, identity={**RUN, "labelled_share": 1})])
    again.run()
    assert (again.state.epoch, again.state.iteration) == (2, 6)


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"classification": CrossEntropy(weight=2.5)}, "weight of classification 1.0 there, 2.5 here"),
        ({"c": CrossEntropy()}, "weight of classification 1.0 there, none here; weight of c none there, 1.0 here"),
    ],
)
def test_other_terms(tmp_path: Path, make_trainer: Make, terms: dict[str, Term], message: str) -> None:
    """They have no state that could differ."""
    path = tmp_path / "run_state.pt"
    first = Criterion({"classification": CrossEntropy()})
    make_trainer([RunState(path)], max_epochs=1, criterion=first).run()
    _refused(make_trainer([RunState(path, resume=True)], criterion=Criterion(terms)), path, message)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_file(path: Path, make_trainer: Make, share: float) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: math.floor(share * len(whole))])
    _refused(
        make_trainer([RunState(path, resume=True)]), path, "cannot be read .*: it is cut off.*; delete it, or start"
    )


@pytest.mark.parametrize("content", [{"weight": torch.ones(1)}, [1, 2]])
def test_a_file_of_something_else(path: Path, make_trainer: Make, content: Any) -> None:
    torch.save(content, path)
    _refused(make_trainer([RunState(path, resume=True)]), path, "is no run state of this library")


def test_a_file_with_code_in_it(path: Path, make_trainer: Make) -> None:
    """Nothing is unpickled that could run."""
    torch.save({"counters": Path("x")}, path)
    _refused(make_trainer([RunState(path, resume=True)]), path, "cannot be read")
