"""Labels that flow over a graph of embeddings: against a dense solution, and through the evaluator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ignite.engine import Events
from numpy.typing import NDArray
from torch import nn

from semimed_monai.engines import PropagationEvaluator, propagate, read_findings
from semimed_monai.vocabulary import Outputs


def dense(embeddings: NDArray[Any], labels: NDArray[Any], neighbours: int, alpha: float) -> list[NDArray[Any]]:
    """The equation as it is written."""
    length = np.linalg.norm(embeddings, axis=1)
    cosine = embeddings @ embeddings.T / np.outer(length, length)
    weights = np.zeros_like(cosine)
    for row in range(len(cosine)):
        others = [place for place in np.argsort(-cosine[row], kind="stable") if place != row][:neighbours]
        weights[row, others] = np.clip(cosine[row, others], 1e-6, None)
    weights = np.maximum(weights, weights.T)
    degree = weights.sum(axis=1)
    spread = weights / np.sqrt(np.outer(degree, degree))
    flows = []
    for value in (1, 0):
        count = (labels == value).sum(axis=0)
        start = np.where(count, (labels == value) / np.maximum(count, 1), 0)
        flows.append(np.linalg.inv(np.eye(len(cosine)) - alpha * spread) @ start)
    return flows


def test_two_images_by_hand() -> None:
    """S is [[0, 1], [1, 0]] whatever the cosine, so F = (1, α)/(1 − α²) where the first is labelled."""
    embeddings, labels = np.array([[1.0, 0.0], [0.6, 0.8]]), np.array([[1, 0], [-1, -1]])
    there, absent = propagate(embeddings, labels, neighbours=1, alpha=0.5)
    assert there == pytest.approx(np.array([[4 / 3, 0], [2 / 3, 0]]), abs=1e-7)
    assert absent == pytest.approx(np.array([[0, 4 / 3], [0, 2 / 3]]), abs=1e-7)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(4, 20), neighbours=st.integers(1, 3), alpha=st.floats(0.05, 0.95))
def test_it_is_the_solution_of_the_equation(seed: int, count: int, neighbours: int, alpha: float) -> None:
    random = np.random.default_rng(seed)
    embeddings, labels = random.random((count, 5)) + 0.01, random.integers(-1, 2, (count, 3))
    for found, expected in zip(
        propagate(embeddings, labels, neighbours, alpha), dense(embeddings, labels, neighbours, alpha), strict=True
    ):
        assert found == pytest.approx(expected, abs=1e-6)
    order = random.permutation(count)
    turned = propagate(embeddings[order], labels[order], neighbours, alpha)
    assert turned[0] == pytest.approx(propagate(embeddings, labels, neighbours, alpha)[0][order], abs=1e-6)


@pytest.mark.parametrize("neighbours", [0, 3])
def test_a_graph_needs_neighbours_that_are_there(neighbours: int) -> None:
    with pytest.raises(ValueError, match=f"{neighbours} neighbours of 3 images: give a number between"):
        propagate(np.eye(3), np.zeros((3, 1)), neighbours)


class Embedded(nn.Module):
    """The embedding is the image's mean by channel; the classifier knows nothing."""

    def forward(self, images: torch.Tensor) -> Outputs:
        embedding = images.mean(dim=(2, 3))
        return Outputs(logits=torch.zeros(len(images), 2), embedding=embedding)


def batch(colours: list[list[float]], labels: list[Any], start: int = 0) -> Mapping[str, Any]:
    images = torch.tensor(colours)[:, :, None, None].expand(-1, -1, 4, 4)
    names = [f"{start + row}" for row in range(len(colours))]
    return {"id": names, "group": names, "image": images, "label": torch.tensor(labels)}


RED, BLUE = [0.9, 0.1, 0.1], [0.1, 0.1, 0.9]
REDDISH, BLUISH = [0.8, 0.2, 0.1], [0.2, 0.1, 0.8]


def answers(references: list[Mapping[str, Any]], **settings: Any) -> torch.Tensor:
    tested = [batch([REDDISH, BLUISH], [-1, -1], 100), batch([BLUE], [-1], 102)]
    evaluator = PropagationEvaluator("cpu", tested, Embedded(), references, neighbours=1, **settings)
    found = []
    evaluator.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: found.append(engine.state.output))
    evaluator.run()
    assert all("embedding" not in output for output in found)
    return torch.cat([output["probabilities"] for output in found])


def test_an_image_is_given_what_its_neighbours_got_from_the_labelled_ones() -> None:
    references = [batch([RED, REDDISH], [0, -1]), batch([BLUE, BLUISH], [1, -1], 2)]
    found = answers(references)
    assert found.shape == (3, 2)
    assert found == pytest.approx(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), abs=1e-6)


def test_the_nearer_of_two_neighbours_counts_for_more() -> None:
    """By hand: with nearly no α each reference gives what it was labelled, 1 and 0, weighted by the cosines 1 and 0.6.

    So p is 1 / 1.6 beside the first, 0.6 / 1.6 beside the second; without the weights both would be a half.
    """
    first, second, far = [1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]
    evaluator = PropagationEvaluator(
        "cpu",
        [batch([first, second], [[-1], [-1]], 100)],
        Embedded(),
        [batch([first, second, far], [[1], [0], [-1]])],
        read=read_findings,
        neighbours=2,
        alpha=1e-9,
    )
    evaluator.run()
    found = evaluator.state.output["probabilities"]
    assert found == pytest.approx(torch.tensor([[0.625], [0.375]]), abs=1e-6)


def test_findings_are_each_by_themselves() -> None:
    references = [batch([RED, REDDISH], [[1, 1], [-1, -1]]), batch([BLUE, BLUISH], [[0, 1], [-1, -1]], 2)]
    found = answers(references, read=read_findings)
    assert found[:, 0] == pytest.approx(torch.tensor([1.0, 0.0, 0.0]), abs=1e-6)
    assert found[:, 1] == pytest.approx(torch.ones(3), abs=1e-6)  # all that is labelled has it


def test_the_sections_own_labels_play_no_part() -> None:
    references = [batch([RED, REDDISH], [0, -1]), batch([BLUE, BLUISH], [1, -1], 2)]
    evaluator = PropagationEvaluator("cpu", [batch([REDDISH], [1])], Embedded(), references, neighbours=1)
    evaluator.run()
    assert evaluator.state.output["probabilities"][0, 0] == pytest.approx(1, abs=1e-6)
