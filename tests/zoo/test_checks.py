"""The bundles here are without fault, and what is wrong with one is said, whatever it is."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from planting import CARD, META, put, write

from semimed_monai.zoo import Bundle, checks, find_bundles
from semimed_monai.zoo.__main__ import main
from semimed_monai.zoo.checks import Finding, check

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"


def all_bundles() -> list[Bundle]:
    return find_bundles([file.parents[1] for file in sorted(BUNDLES.glob("*/configs/metadata.json"))])


@pytest.mark.parametrize("bundle", all_bundles(), ids=lambda bundle: bundle.name)
def test_our_bundles_are_without_fault(bundle: Bundle) -> None:
    assert [str(finding) for finding in check(bundle, quick=True)] == []


@pytest.mark.parametrize("bundle", all_bundles(), ids=lambda bundle: bundle.name)
def test_so_is_a_copy_far_from_the_project(
    bundle: Bundle, copy_of: Callable[[str, Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder not in ("", str(BUNDLES.parent))])
    copy = Bundle(copy_of(bundle.name, tmp_path / "deep" / "bundles"))
    assert [str(finding) for finding in check(copy, quick=True)] == []


@pytest.fixture(scope="module")
def small(place_bundles: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All bundles, with weights of small networks."""
    return place_bundles(tmp_path_factory.mktemp("small"), *(bundle.name for bundle in all_bundles())) / "bundles"


@pytest.mark.parametrize("name", [bundle.name for bundle in all_bundles()])
def test_with_weights_they_are_without_fault_as_well(name: str, small: Path) -> None:
    """What they prepare, answer and are exported to, too."""
    assert [str(finding) for finding in check(Bundle(small / name), weights=True)] == []


@pytest.mark.slow
@pytest.mark.parametrize("bundle", all_bundles(), ids=lambda bundle: bundle.name)
def test_our_networks_are_what_they_say(bundle: Bundle) -> None:
    assert [str(finding) for finding in check(bundle)] == []


def test_the_command(copy_of: Callable[[str, Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = copy_of("pcam", tmp_path)
    main(["check", "--quick", str(folder)])
    assert capsys.readouterr().out == "no faults in 1 bundle\n"
    (folder / "LICENSE").unlink()
    (folder / "docs" / "README.md").unlink()
    with pytest.raises(SystemExit) as ended:
        main(["check", "--quick", str(folder)])
    assert ended.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "pcam: LICENSE: there is none; add the licence's text"
    assert re.fullmatch(r"pcam: docs/README\.md: there is none; add the model card", lines[1])
    assert lines[2] == "2 faults in 1 bundle"


def test_one_bundle_does_not_hide_what_is_wrong_with_another(
    copy_of: Callable[[str, Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = copy_of("pcam", tmp_path), copy_of("dcmt", tmp_path)
    write(CARD, b"Jos\xe9")(first)
    (second / "LICENSE").unlink()
    with pytest.raises(SystemExit):
        main(["check", "--quick", str(first), str(second)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("pcam: docs/README.md: it is no text: ")
    assert lines[1:] == ["dcmt: LICENSE: there is none; add the licence's text", "2 faults in 2 bundles"]


def breaks(bundle: Bundle) -> Iterator[Finding]:
    yield Finding(bundle.name, CARD, "a first fault", "mend it")
    raise KeyError("what nobody thought of")


def test_a_check_that_breaks_is_a_fault_beside_the_others(
    copy_of: Callable[[str, Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Bundle(copy_of("pcam", tmp_path))
    monkeypatch.setattr(checks, "OF_FILES", {CARD: [breaks], "experiments": [breaks]})
    assert [str(one) for one in check(bundle, quick=True)] == [
        "pcam: docs/README.md: a first fault; mend it",
        "pcam: docs/README.md: it cannot be checked (KeyError: 'what nobody thought of'); correct what that is about",
        "pcam: experiments: it cannot be checked (KeyError: 'what nobody thought of'); correct what that is about",
    ]


def test_metadata_against_its_schema_is_all_that_is_looked_at_in_it(
    copy_of: Callable[[str, Path], Path], tmp_path: Path
) -> None:
    folder = copy_of("pcam", tmp_path)
    put(META, "version", "01.0.0")(folder)
    (found,) = check(Bundle(folder), quick=True)
    assert "version: '01.0.0' does not match" in found.what
