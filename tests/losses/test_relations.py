"""STSC's two terms against a plain statement of Eq. 3, 4 and 6 in numpy, by hand, and what the bank must not do."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from ignite.engine import Engine
from torch import Tensor

from semimed_monai.losses import RelationConsistency, TemporalRelations
from semimed_monai.losses.relations import relation_matrix, temporal_distance
from semimed_monai.vocabulary import Outputs, Step

MakeStep = Callable[..., Step]
ITEMS = [{"id": name} for name in "abcd"]
# Whole numbers, so that no cosine lies a rounding away from a threshold of .8 (cosine² = .64 would need 25·p² = 16·q).
VECTORS = arrays(np.float32, (5, 3), elements=st.integers(-3, 3).map(float))


def _unit(vectors: np.ndarray) -> np.ndarray:
    unit: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit


def _relations(vectors: np.ndarray) -> np.ndarray:
    return _unit(np.array([[float(one @ other) for other in vectors] for one in vectors]))


def _parts(edges: np.ndarray) -> list[list[int]]:
    """The connected parts of two or more, by walking."""
    left, parts = set(range(len(edges))), []
    while left:
        part, front = set(), {left.pop()}
        while front:
            vertex = front.pop()
            part.add(vertex)
            front |= {int(other) for other in np.flatnonzero(edges[vertex])} - part
        left -= part
        parts.append(sorted(part))
    return [part for part in parts if len(part) > 1]


def _equation_6(now: np.ndarray, before: np.ndarray, compared: np.ndarray, threshold: float) -> float:
    now, before = _unit(now[compared]), _unit(before[compared])
    if not len(now):
        return 0.0
    edges = (now @ now.T >= threshold) & (before @ before.T >= threshold) & ~np.eye(len(now), dtype=bool)
    change = _relations(now) - _relations(before)
    return sum(float((change[np.ix_(part, part)] ** 2).sum()) for part in _parts(edges)) / len(now)


def _step(make_step: MakeStep, student: Tensor, ids: Sequence[str] = "abcd", **given: Any) -> Step:
    logits = torch.zeros(len(student), 2)
    teacher = given.pop("teacher", None)
    teacher = None if teacher is None else Outputs(logits, embedding=teacher)
    return make_step(Outputs(logits, embedding=student), teacher, id=list(ids), **given)


def _at(term: TemporalRelations, epoch: int, batch: int, length: int = 10) -> None:
    term._follow(SimpleNamespace(state=SimpleNamespace(epoch=epoch, iteration=batch, epoch_length=length)))  # type: ignore[arg-type]


@given(student=VECTORS, teacher=VECTORS)
def test_relation_consistency_is_equation_4(make_step: MakeStep, student: np.ndarray, teacher: np.ndarray) -> None:
    step = _step(make_step, torch.tensor(student), ids="abcde", teacher=torch.tensor(teacher))
    expected = ((_relations(student) - _relations(teacher)) ** 2).sum() / 5
    assert RelationConsistency()(step).item() == pytest.approx(expected, abs=1e-5)


def test_relation_consistency_by_hand(make_step: MakeStep) -> None:
    """Student (1,0), (0,1): R = I. Teacher (1,0), (1,1): M = [1 1; 1 2], R = [.7071 .7071; .4472 .8944]."""
    step = _step(make_step, torch.eye(2), ids="ab", teacher=torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
    by_hand = ((1 - math.sqrt(0.5)) ** 2 + 0.5 + 0.2 + (1 - 2 / math.sqrt(5)) ** 2) / 2
    assert RelationConsistency()(step).item() == pytest.approx(by_hand, abs=1e-6)


def test_relation_consistency_is_zero_for_alike_and_for_scaled_embeddings(make_step: MakeStep) -> None:
    student = torch.rand(4, 3)
    assert RelationConsistency()(_step(make_step, student, teacher=student)).item() == 0
    assert RelationConsistency()(_step(make_step, student, teacher=3 * student)).item() == pytest.approx(0, abs=1e-10)


@given(now=VECTORS, before=VECTORS, compared=arrays(np.bool_, 5), threshold=st.sampled_from([0.31, 0.83]))
def test_temporal_relations_are_equation_6(
    now: np.ndarray, before: np.ndarray, compared: np.ndarray, threshold: float
) -> None:
    units = [torch.tensor(_unit(vectors)) for vectors in (now, before)]
    found = temporal_distance(*units, torch.tensor(compared), threshold)[0].item()
    assert found == pytest.approx(_equation_6(now, before, compared, threshold), abs=1e-5)


def test_a_chain_hangs_together_and_a_lone_row_does_not_count() -> None:
    """At τ .7 (1,0)-(1,1)-(0,1) are joined though the ends are at right angles; (-1,0) is joined to nobody."""
    before = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [-1.0, 0.0]]), dim=1)
    now = torch.nn.functional.normalize(torch.tensor([[1.0, 0.1], [1.0, 1.0], [0.1, 1.0], [-1.0, 0.0]]), dim=1)
    change = (relation_matrix(now) - relation_matrix(before)).square()
    found, joined = temporal_distance(now, before, torch.ones(4, dtype=torch.bool), threshold=0.7)
    assert joined.item() == 0.5  # three of the six pairs
    assert found.item() == pytest.approx(change[:3, :3].sum().item() / 4, abs=1e-7)
    assert found.item() > 0


def test_zero_in_the_first_epoch_zero_for_no_change_and_a_gradient_for_a_change(make_step: MakeStep) -> None:
    term = TemporalRelations(ITEMS, features=2)
    first = torch.tensor([[1.0, 0.2], [1.0, 0.1], [0.1, 1.0], [0.0, 1.0]])
    _at(term, epoch=1, batch=1)
    assert term(_step(make_step, first)).item() == 0
    assert term(_step(make_step, first.flip(1) * 2)).item() == 0  # the first epoch is not over
    _at(term, epoch=1, batch=9)
    term(_step(make_step, first))
    _at(term, epoch=2, batch=4)
    assert term(_step(make_step, 5 * first)).item() == pytest.approx(0, abs=1e-6)
    changed = (first + torch.tensor([0.0, 0.3])).requires_grad_()
    value = term(_step(make_step, changed))
    assert value.item() > 1e-4
    value.backward()
    assert changed.grad is not None
    assert changed.grad.abs().sum() > 0


def test_zero_with_a_graph_where_nothing_is_joined(make_step: MakeStep) -> None:
    term = TemporalRelations(ITEMS, features=4)
    _at(term, epoch=2, batch=4)
    for _ in range(2):
        embedding = torch.eye(4, requires_grad=True)
        value = term(_step(make_step, embedding))
        value.backward()
        assert value.item() == 0
        assert torch.equal(embedding.grad, torch.zeros(4, 4))  # type: ignore[arg-type]


def test_rows_that_are_new_or_unknown_change_nothing(make_step: MakeStep) -> None:
    """The same pair beside rows that the bank does not have gives the same value."""
    pair, later = torch.tensor([[1.0, 0.2], [1.0, 0.1]]), torch.tensor([[1.0, 0.4], [1.0, 0.0]])
    values = []
    for rows, ids in ((later, "ab"), (torch.cat([later, torch.rand(2, 2)]), "abdx")):
        term = TemporalRelations(ITEMS, features=2)
        _at(term, epoch=1, batch=1)
        term(_step(make_step, pair, ids="ab"))
        _at(term, epoch=2, batch=4)
        values.append(term(_step(make_step, rows, ids=ids)).item())
    assert values[0] == pytest.approx(values[1], rel=1e-5)
    assert values[0] > 1e-4


def test_the_order_of_a_batch_does_not_matter(make_step: MakeStep) -> None:
    random = torch.Generator().manual_seed(0)
    before, now = torch.rand(4, 3, generator=random), torch.rand(4, 3, generator=random)
    values = []
    for order in ([0, 1, 2, 3], [2, 0, 3, 1]):
        term = TemporalRelations(ITEMS, features=3, threshold=0.5)
        _at(term, epoch=1, batch=1)
        term(_step(make_step, before))
        _at(term, epoch=2, batch=4)
        values.append(term(_step(make_step, now[order], ids=[ITEMS[place]["id"] for place in order])).item())
    assert values[0] == pytest.approx(values[1], rel=1e-4)
    assert values[0] > 1e-4


def test_an_old_entry_is_not_compared(make_step: MakeStep) -> None:
    """max_age 2, and two batches hold as many rows as there are items: what was written in batch 1 counts until 5."""
    pair, later = torch.tensor([[1.0, 0.2], [1.0, 0.1]]), torch.tensor([[1.0, 0.4], [1.0, 0.0]])
    for batch, counts in ((5, True), (6, False)):
        term = TemporalRelations(ITEMS, features=2, max_age=2)
        _at(term, epoch=1, batch=1)
        term(_step(make_step, pair, ids="ab"))
        _at(term, epoch=3, batch=batch)
        assert (term(_step(make_step, later, ids="ab")).item() > 0) == counts
        assert term.observed["compared"].item() == float(counts)


def test_a_visit_makes_an_entry_young_again(make_step: MakeStep) -> None:
    """max_age 2 as above: written in batches 1 and 5 it counts in 9, written in 1 alone it would not."""
    pair, later = torch.tensor([[1.0, 0.2], [1.0, 0.1]]), torch.tensor([[1.0, 0.4], [1.0, 0.0]])
    term = TemporalRelations(ITEMS, features=2, max_age=2)
    for batch, rows in ((1, pair), (5, pair), (9, later)):
        _at(term, epoch=2, batch=batch)
        value = term(_step(make_step, rows, ids="ab"))
    assert value.item() > 1e-4


def test_an_item_that_comes_twice_is_no_structure_with_itself(make_step: MakeStep) -> None:
    """The last of its rows counts, and is what the bank keeps."""
    values = []
    for ids, rows in (("ab", [[1.0, 0.4], [0.0, 1.0]]), ("aba", [[1.0, 0.1], [0.0, 1.0], [1.0, 0.4]])):
        term = TemporalRelations(ITEMS, features=2)
        _at(term, epoch=1, batch=1)
        term(_step(make_step, torch.eye(2), ids="ab"))
        _at(term, epoch=2, batch=4)
        values.append(term(_step(make_step, torch.tensor(rows), ids=ids)).item())
        kept = torch.nn.functional.normalize(torch.tensor([1.0, 0.4]), dim=0)
        torch.testing.assert_close(term.memory.values[0].float(), kept, atol=1e-3, rtol=0)
    assert values == [0, 0]


def test_of_an_item_that_comes_twice_the_last_row_is_compared(make_step: MakeStep) -> None:
    """Before, a and b are (1, 0): all of R is √½. Now b is, and the last a is turned by arctan 0.4: M is [1 c; c 1]."""
    term = TemporalRelations(ITEMS, features=2)
    _at(term, epoch=1, batch=1)
    term(_step(make_step, torch.tensor([[1.0, 0.0], [1.0, 0.0]]), ids="ab"))
    _at(term, epoch=2, batch=4)
    found = term(_step(make_step, torch.tensor([[1.0, 0.1], [1.0, 0.0], [1.0, 0.4]]), ids="aba")).item()
    c = 1 / math.sqrt(1 + 0.4**2)
    length = math.sqrt(1 + c**2)
    by_hand = (2 * (1 / length - math.sqrt(0.5)) ** 2 + 2 * (c / length - math.sqrt(0.5)) ** 2) / 2
    assert found == pytest.approx(by_hand, rel=1e-3)
    assert term.observed["compared"].item() == pytest.approx(2 / 3)


def test_a_run_that_ends_before_the_term_begins_is_told(caplog: pytest.LogCaptureFixture) -> None:
    for epochs, told in ((2, True), (3, False)):
        caplog.clear()
        engine = Engine(lambda engine, batch: None)
        TemporalRelations(ITEMS, features=2, start_epoch=3).attach(engine)
        engine.run([0], max_epochs=epochs)
        assert ("begins in epoch 3, and the run has 2" in caplog.text) == told


def test_the_bank_is_part_of_the_state_and_fills_before_the_ramp(make_step: MakeStep) -> None:
    term, resumed = (TemporalRelations(ITEMS, features=2, ramp=lambda progress: 0.0) for _ in range(2))
    assert term.begun(0.0)
    _at(term, epoch=1, batch=3)
    term(_step(make_step, torch.tensor([[1.0, 0.2], [1.0, 0.1], [0.1, 1.0], [0.2, 1.0]])))
    assert term.memory.marks.tolist() == [3, 3, 3, 3]
    torch.testing.assert_close(term.memory.values.float().norm(dim=1), torch.ones(4), atol=1e-3, rtol=0)
    resumed.load_state_dict(term.state_dict())
    later = torch.tensor([[1.0, 0.4], [1.0, 0.0], [0.0, 1.0], [0.1, 1.0]])
    for each in (term, resumed):
        _at(each, epoch=2, batch=4)
    assert term(_step(make_step, later)).item() == resumed(_step(make_step, later)).item() > 0


def test_what_is_missing_or_wrong_is_said(make_step: MakeStep) -> None:
    with pytest.raises(ValueError, match="RelationConsistency compares with the teacher"):
        RelationConsistency()(_step(make_step, torch.eye(4)))
    with pytest.raises(ValueError, match="RelationConsistency needs an embedding, which this network does not return"):
        RelationConsistency()(make_step(Outputs(torch.zeros(2, 2)), Outputs(torch.zeros(2, 2))))
    with pytest.raises(ValueError, match="the bank is of 3 features, the network gives 4"):
        TemporalRelations(ITEMS, features=3)(_step(make_step, torch.eye(4)))
    with pytest.raises(ValueError, match="start_epoch is 1"):
        TemporalRelations(ITEMS, features=3, start_epoch=1)
    for words in ("words", 2.5, True):  # a command line gives text
        with pytest.raises(ValueError, match=f"start_epoch is {words!r}: give a whole number from 2"):
            TemporalRelations(ITEMS, features=3, start_epoch=words)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_age is 'words': give a number above 0"):
        TemporalRelations(ITEMS, features=3, max_age="words")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_age is 0"):
        TemporalRelations(ITEMS, features=3, max_age=0)
    with pytest.raises(ValueError, match="threshold is 1"):
        TemporalRelations(ITEMS, features=3, threshold=1)
