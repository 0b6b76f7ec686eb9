"""network.json, and weights of another network."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from semimed_monai.networks import (
    AttentionClassifier,
    CheXNet,
    DeployedAttentionClassifier,
    DeployedCheXNet,
    DeployedEmbeddingClassifier,
    DeployedLesionMap,
    EmbeddingClassifier,
    LesionMapNetwork,
    Teacher,
    deployed_network,
    load_weights,
    read_card,
    refuse_other_weights,
    weights_file,
    write_card,
)


def test_a_card_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "models" / "network.json"
    write_card(path, {"arguments": {"width": 16}, "classes": ["normal", "full"]})
    assert read_card(path, size=256, arguments={}) == {
        "size": 256,
        "arguments": {"width": 16},
        "classes": ["normal", "full"],
    }
    assert [file.name for file in path.parent.iterdir()] == ["network.json"], "no temporary file stays"


def test_without_a_card_the_values_given_stand(tmp_path: Path) -> None:
    assert read_card(tmp_path / "network.json", size=256) == {"size": 256}


@pytest.mark.parametrize("content", ['{"size": ', "[96]"])
def test_a_card_that_is_none_names_the_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "network.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"network\.json is no card .* train again"):
        read_card(path)


@pytest.mark.parametrize(
    ("trained", "deployed"),
    [
        (AttentionClassifier(layers=(1, 1, 1, 1), width=16), DeployedAttentionClassifier),
        (LesionMapNetwork(layers=(1, 1, 1, 1), widths=(8, 8, 8, 8), block="basic", pyramid=8), DeployedLesionMap),
        (CheXNet(layers=(2, 2), growth=4, stem=8), DeployedCheXNet),
        (EmbeddingClassifier(in_channels=1, layers=(2, 2), growth=4, stem=8), DeployedEmbeddingClassifier),
    ],
)
def test_a_cards_network_is_the_trained_one_deployed(trained: nn.Module, deployed: type[nn.Module]) -> None:
    name = f"semimed_monai.networks.{deployed.__name__}"
    network = deployed_network({"deployed": name, "arguments": trained.arguments, "size": 64})
    assert type(network) is deployed
    network.load_state_dict(trained.state_dict())
    images = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        answer = network.eval()(images)
    assert isinstance(answer, torch.Tensor)


@pytest.mark.parametrize("name", ["semimed_monai.networks.Nothing", "no_such_package.Network", "json.dumps"])
def test_a_card_of_an_unknown_network_says_so(name: str) -> None:
    with pytest.raises(ValueError, match=f"the network is {name}, and there is none of that name: install"):
        deployed_network({"deployed": name, "arguments": {}})


def _guarded(width: int = 3) -> nn.Module:
    network = nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width))
    refuse_other_weights(network)
    return network


def _without(state: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("case", ["other width", "one missing", "one more", "empty"])
def test_other_weights_are_refused_also_where_the_loader_is_lax(case: str, strict: bool) -> None:
    network = _guarded()
    own = network.state_dict()
    state, differing = {
        "other width": (_guarded(4).state_dict(), "0.bias"),
        "one missing": (_without(own, "1.running_var"), "1.running_var"),
        "one more": ({**own, "2.weight": torch.ones(1)}, "2.weight"),
        "empty": ({}, "0.bias"),
    }[case]
    with pytest.raises(RuntimeError, match=f"weights of another network.*{differing} first.*network.json"):
        network.load_state_dict(state, strict=strict)


@pytest.mark.parametrize("strict", [True, False])
def test_its_own_weights_load_and_so_do_a_copys(strict: bool) -> None:
    network, other = _guarded(), _guarded()
    network.load_state_dict(other.state_dict(), strict=strict)
    assert torch.equal(network[0].weight, other[0].weight)  # type: ignore[index]
    copied = copy.deepcopy(network)
    copied.load_state_dict(other.state_dict(), strict=strict)
    with pytest.raises(RuntimeError, match="weights of another network"):
        copied.load_state_dict({}, strict=strict)


def test_inside_another_module_only_its_own_part_is_compared() -> None:
    whole, other = nn.ModuleList([_guarded(), nn.Linear(1, 1)]), nn.ModuleList([_guarded(4), nn.Linear(1, 1)])
    whole.load_state_dict(whole.state_dict())
    with pytest.raises(RuntimeError, match="6 of 7 tensors differ"):
        whole.load_state_dict(other.state_dict(), strict=False)


def test_the_classifier_and_its_teacher_refuse() -> None:
    small, wide = (AttentionClassifier(layers=(1, 1, 1, 1), width=width) for width in (16, 32))
    for into, of in ((small, wide), (Teacher(small), Teacher(wide))):
        with pytest.raises(RuntimeError, match="weights of another network"):
            into.load_state_dict(of.state_dict(), strict=False)


@pytest.mark.parametrize("content", [{"objects": {"student": {}}}, [1, 2], torch.ones(1)])
def test_a_file_of_another_kind_is_refused(content: object, tmp_path: Path) -> None:
    file = tmp_path / "run_state.pt"
    torch.save(content, file)
    with pytest.raises(RuntimeError, match=r"run_state\.pt is no plain state dict: give the file that training wrote"):
        load_weights(_guarded(), file)


def test_teacher_student_or_a_file(tmp_path: Path) -> None:
    models = tmp_path / "models"
    assert weights_file("teacher", models) == str(models / "model.pt")
    with pytest.raises(FileNotFoundError, match=r"no student\.pt in .*eval: give the one that training wrote"):
        weights_file("student", models)
    (tmp_path / "eval").mkdir()
    default, own = tmp_path / "eval" / "student.pt", tmp_path / "student.pt"
    default.touch()
    assert weights_file("student", models) == str(default)
    own.touch()
    with pytest.raises(ValueError, match="are both a student: give the one to use, --weights"):
        weights_file("student", models)
    default.unlink()
    assert weights_file("student", models) == str(own)
    assert weights_file(str(own), models) == str(own)
    with pytest.raises(FileNotFoundError, match="no weights at pupil: give teacher, student or the path"):
        weights_file("pupil", models)
