"""Consistency of maps with a teacher, and with what was said about an image before."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kornia.augmentation import RandomHorizontalFlip
from torch import Tensor

from semimed_monai.losses import MapConsistency, TemporalEnsembling
from semimed_monai.losses.memory import Memory
from semimed_monai.views import Views
from semimed_monai.vocabulary import ROLES, Outputs, Step

POSITIVE = ROLES.index("P_pub")
ITEMS = [{"id": "a", "role": POSITIVE}, {"id": "n", "role": 3}, {"id": "b", "role": POSITIVE}]
MakeStep = Callable[..., Step]


def _maps(*values: float) -> Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)


def _step(make_step: MakeStep, ids: list[str], teacher: Tensor, student: float = 0.5) -> Step:
    logits = torch.logit(_maps(*[student] * len(ids)))
    return make_step(
        Outputs(logits), Outputs(torch.logit(teacher, eps=1e-6)), id=ids, role=torch.tensor([POSITIVE] * len(ids))
    )


def test_a_mean_teachers_term_by_hand(make_step: MakeStep) -> None:
    """KL(¾‖½), and the row of another role counts for nothing."""
    step = make_step(
        Outputs(torch.zeros(2, 1, 2, 2)),
        Outputs(torch.logit(_maps(0.75, 0.9))),
        role=torch.tensor([POSITIVE, ROLES.index("N_hos")]),
    )
    assert MapConsistency()(step).item() == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    both = MapConsistency(roles=["P_pub", "N_hos"])(step).item()
    assert both == pytest.approx((0.130812 + 0.9 * math.log(1.8) + 0.1 * math.log(0.2)) / 2, abs=1e-5)


def test_the_first_visit_has_no_target_and_the_second_that_of_the_first(make_step: MakeStep) -> None:
    """α .6: after maps .9 and .5 the average is (.6·.4·.9 + .4·.5)/(1 − .36) = .65."""
    term = TemporalEnsembling(ITEMS, size=2, decay=0.6)
    assert term(_step(make_step, ["a"], _maps(0.9))).item() == 0
    second = term(_step(make_step, ["a"], _maps(0.5))).item()
    assert second == pytest.approx(0.9 * math.log(1.8) + 0.1 * math.log(0.2), abs=1e-3)
    third = term(_step(make_step, ["a"], _maps(0.5), student=0.65)).item()
    assert third == pytest.approx(0, abs=1e-5)
    assert term.memory.marks.tolist() == [3, 0]


def test_rows_are_remembered_by_id_whatever_their_order(make_step: MakeStep) -> None:
    one, other = (TemporalEnsembling(ITEMS, size=2) for _ in range(2))
    for _ in range(2):
        one(_step(make_step, ["a", "b"], _maps(0.9, 0.3)))
        other(_step(make_step, ["b", "a"], _maps(0.3, 0.9)))
    torch.testing.assert_close(one.memory.values, other.memory.values)
    assert one.memory.values.dtype == torch.float16


def test_the_bank_is_of_the_teachers_frame(make_step: MakeStep) -> None:
    """What was seen on the left comes back on the right for a view that is flipped."""
    left = torch.full((1, 1, 2, 2), 0.1)
    left[..., 0] = 0.9
    term = TemporalEnsembling(ITEMS, size=2)
    term(_step(make_step, ["a"], left))
    image = torch.rand(1, 1, 2, 2)
    geometry = Views(geometry=[RandomHorizontalFlip(p=1.0)], share_geometry=False)(
        {"image": image, "mask": image}, step=1
    ).geometry
    step = make_step(
        Outputs(torch.logit(left.flip(3))),
        Outputs(torch.logit(left)),
        id=["a"],
        role=torch.tensor([POSITIVE]),
        geometry=geometry,
    )
    assert term(step).item() == pytest.approx(0, abs=1e-4)


def test_the_bank_is_part_of_the_state(make_step: MakeStep) -> None:
    term, resumed = (TemporalEnsembling(ITEMS, size=2) for _ in range(2))
    term(_step(make_step, ["b"], _maps(0.8)))
    resumed.load_state_dict(term.state_dict())
    again = [each(_step(make_step, ["b"], _maps(0.2))).item() for each in (term, resumed)]
    assert again[0] == again[1] > 0


def test_a_map_of_another_size_is_refused(make_step: MakeStep) -> None:
    with pytest.raises(ValueError, match=r"maps of \[1, 4, 4\], the network gives \[1, 2, 2\]"):
        TemporalEnsembling(ITEMS, size=4)(_step(make_step, ["a"], _maps(0.9)))
    with pytest.raises(ValueError, match="decay is 1"):
        TemporalEnsembling(ITEMS, size=4, decay=1)


@pytest.mark.parametrize("term", [MapConsistency(), TemporalEnsembling(ITEMS, size=2)])
def test_a_teacher_is_needed(term: MapConsistency, make_step: MakeStep) -> None:
    with pytest.raises(ValueError, match=f"{type(term).__name__} needs a teacher"):
        term(make_step(Outputs(torch.zeros(1, 1, 2, 2)), None))


@given(st.lists(st.tuples(st.sampled_from("abcx"), st.floats(0, 1, width=16)), max_size=12))
def test_a_memory_is_a_dict_of_what_came_last(written: list[tuple[str, float]]) -> None:
    memory = Memory(["a", "b", "c"], shape=(1,))
    last: dict[str, tuple[float, int]] = {}
    for mark, (name, value) in enumerate(written, start=1):
        memory.write(memory.rows([name]), torch.tensor([[value]]), torch.tensor([mark]))
        last |= {} if name == "x" else {name: (value, mark)}
    values, marks = memory.read(memory.rows(["a", "b", "c", "x"]))
    found = list(zip(values[:, 0].tolist(), marks.tolist(), strict=True))
    assert found == [last.get(name, (0, 0)) for name in "abcx"]


def test_an_id_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="2 items have 1 ids"):
        Memory(["a", "a"], shape=(1,))
