"""The relation matrices that an evaluation keeps: of the same few images for each network, however it is cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from left_run import found

from semimed_monai.losses import RelationConsistency, relation_matrix
from semimed_monai.reports import Relations
from semimed_monai.reports.relations import RelationMatrices, load_relations
from semimed_monai.views import SharedGeometry
from semimed_monai.vocabulary import Outputs, Step


def kept(output: dict[str, Any], size: int, images: int) -> RelationMatrices:
    """Through two engines, as an evaluation has them; an epoch forgets the one before."""
    relations = Relations(images)
    for network, scale in (("teacher", 1.0), ("student", -0.5)):
        moved = {**output, "embedding": output["embedding"] + scale * torch.eye(5)[0]}
        parts = [
            {name: column[start : start + size] for name, column in moved.items()}
            for start in range(0, len(output["id"]), size)
        ]
        engine = Engine(lambda _, batch: batch)
        relations.attach(engine, network)
        engine.run(parts, max_epochs=2)
    return relations.matrices


def test_some_images_are_drawn_and_ordered_by_class() -> None:
    output = found(30, seed=3)
    matrices = kept(output, size=30, images=8)
    assert len(matrices.label) == 8
    assert matrices.label == sorted(matrices.label)
    for size in (1, 7):
        again = kept(output, size, images=8)
        assert again.label == matrices.label
        assert all(np.array_equal(again.of[name], matrices.of[name]) for name in ("teacher", "student"))


def test_all_images_give_what_the_term_computes(tmp_path: Path) -> None:
    output = found(12, seed=4)
    output["label"] = torch.arange(12)  # so that they stay in their order
    relations = Relations(images=12)
    embeddings = {"teacher": output["embedding"], "student": output["embedding"].flip(0)}
    for network, embedding in embeddings.items():
        relations.update(network, {**output, "embedding": embedding})
        relations.gather(network)
    relations.save(tmp_path / "relations.npz")
    loaded = load_relations(tmp_path / "relations.npz")
    assert loaded.label == list(range(12))
    for network, embedding in embeddings.items():
        assert loaded.of[network] == pytest.approx(relation_matrix(embedding).numpy())
    step = Step(
        batch=output,
        student=Outputs(embedding=embeddings["student"]),
        teacher=Outputs(embedding=embeddings["teacher"]),
        geometry=SharedGeometry(),
        progress=1.0,
        run=lambda images: Outputs(),
    )
    assert loaded.distance() > 0.01
    assert loaded.distance() == pytest.approx(float(RelationConsistency()(step)), rel=1e-5)


def test_a_network_without_embeddings_leaves_nothing(tmp_path: Path) -> None:
    relations = Relations()
    relations.update("student", {"id": ["a"], "label": torch.zeros(1)})
    relations.gather("student")
    relations.save(tmp_path / "relations.npz")
    assert not any(tmp_path.iterdir())


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="images is 1: a relation is between two or more"):
        Relations(images=1)
    (tmp_path / "relations.npz").write_bytes(b"no zip")
    with pytest.raises(ValueError, match=r"relations.npz cannot be read .*: evaluate again, or remove it"):
        load_relations(tmp_path / "relations.npz")
