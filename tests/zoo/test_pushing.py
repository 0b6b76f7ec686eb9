"""What would be pushed, and what is not there to push with; nothing is pushed here."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from semimed_monai.zoo import Bundle, build
from semimed_monai.zoo.__main__ import main
from semimed_monai.zoo.pushing import push


def pushed(capsys: pytest.CaptureFixture[str], built: Path, *arguments: str) -> list[str]:
    main(["push", "--zoo", str(built), *arguments])
    return capsys.readouterr().out.splitlines()


def test_to_the_hub(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """MONAI reads OWNER/NAME at the tag of the version there; the latest version only."""
    lines = pushed(capsys, built, "--to", "huggingface", "me", "--dry-run")
    what = f"{built / 'knees_v0.10.0.zip'} and semimed_monai-0.1.0-py3-none-any.whl"
    assert lines == [f"{what} as me/knees, tag 0.10.0, unless it is there"]


def test_into_a_release(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """MONAI reads OWNER/REPOSITORY/TAG there."""
    lines = pushed(capsys, built, "--to", "github", "me/bundles/hosting", "--dry-run")
    files = f"{built / 'knees_v0.10.0.zip'}, {built / 'semimed_monai-0.1.0-py3-none-any.whl'}"
    assert lines == [f"{files} into release hosting of me/bundles, each unless it is there"]


STAND_IN = """#!{python}
import json, pathlib, sys
assets = pathlib.Path({folder!r}, "assets")
there = assets.read_text().split()
if sys.argv[1:] == ["release", "view", "hosting", "--repo", "me/bundles", "--json", "assets"]:
    print(json.dumps({{"assets": [{{"name": name}} for name in there]}}))
elif sys.argv[1:4] == ["release", "upload", "hosting"] and sys.argv[-2:] == ["--repo", "me/bundles"]:
    names = [pathlib.Path(file).name for file in sys.argv[4:-2]]
    if not names or set(names) & set(there):
        sys.exit("asset under the same name already exists")
    assets.write_text(" ".join([*there, *names]))
else:
    sys.exit("release not found")
"""


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of the names in release `hosting` of me/bundles; gh knows no other, and replaces nothing."""
    (tmp_path / "bin").mkdir()
    gh = tmp_path / "bin" / "gh"
    gh.write_text(STAND_IN.format(python=sys.executable, folder=str(tmp_path)))
    gh.chmod(0o755)
    monkeypatch.setenv("PATH", str(gh.parent), prepend=os.pathsep)
    (tmp_path / "assets").touch()
    return tmp_path / "assets"


def test_a_release_gets_what_it_has_not(
    built: Path, release: Path, make_bundle: Callable[..., Path], wheel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bundle that is new beside those that are there; the third time there is nothing to do."""
    to = ("--to", "github", "me/bundles/hosting")
    assert len(pushed(capsys, built, *to)) == 1
    known = ["knees_v0.10.0.zip", wheel.name]
    assert release.read_text().split() == known
    build([Bundle(make_bundle("chests"))], built, "http://x", wheel)
    assert pushed(capsys, built, *to)[1:] == [f"{name} is there already" for name in known]
    assert release.read_text().split() == [*known, "chests_v0.1.0.zip"]
    assert len(pushed(capsys, built, *to)) == 4
    with pytest.raises(ValueError, match="gh says: release not found"):
        push(built, "github", "me/bundles/other", False, lambda line: None)


@pytest.mark.parametrize("tags", [["0.9.0"], ["0.9.0", "0.10.0"]], ids=["a new version", "a known one"])
def test_the_hub_gets_a_version_once(built: Path, monkeypatch: pytest.MonkeyPatch, tags: list[str]) -> None:
    """Its files and the library's wheel, in place of all that was there."""
    called: list[Any] = []

    class HfApi:
        def create_repo(self, repository: str, *, exist_ok: bool) -> None:
            called.append((repository, exist_ok))

        def list_repo_refs(self, repository: str) -> SimpleNamespace:
            return SimpleNamespace(tags=[SimpleNamespace(name=tag) for tag in tags])

        def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str, delete_patterns: str) -> None:
            files = {
                file.relative_to(folder_path).as_posix() for file in Path(folder_path).rglob("*") if file.is_file()
            }
            called.append((repo_id, files, commit_message, delete_patterns))

        def create_tag(self, repository: str, *, tag: str) -> None:
            called.append((repository, tag))

    monkeypatch.setattr("semimed_monai.zoo.pushing.find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(HfApi=HfApi))
    said: list[str] = []
    push(built, "huggingface", "me", False, said.append)
    assert said[1:] == (["me/knees 0.10.0 is there already"] if "0.10.0" in tags else [])
    files = {
        *("LICENSE", "configs/inference.json", "configs/metadata.json", "docs/README.md", "models/model.pt"),
        "semimed_monai-0.1.0-py3-none-any.whl",
    }
    uploaded = [("me/knees", files, "version 0.10.0", "*"), ("me/knees", "0.10.0")]
    assert called == [("me/knees", True), *([] if "0.10.0" in tags else uploaded)]


def refuse_nothing(built: Path) -> None:
    pass


def damage(built: Path) -> None:
    (built / "knees_v0.10.0.zip").write_bytes(b"damaged")


def lose_the_wheel(built: Path) -> None:
    (built / "semimed_monai-0.1.0-py3-none-any.whl").unlink()


@pytest.mark.parametrize(
    ("to", "repository", "before", "message"),
    [
        ("huggingface", "me/bundles", refuse_nothing, "is no owner on the Hugging Face hub: give OWNER"),
        ("huggingface", "a b", refuse_nothing, "is no owner on the Hugging Face hub: give OWNER"),
        ("github", "me/bundles", refuse_nothing, "'me/bundles' is no release: give OWNER/REPOSITORY/TAG"),
        ("huggingface", "me", refuse_nothing, "huggingface_hub is not installed.*pip install huggingface_hub"),
        ("github", "me/bundles/tag", refuse_nothing, "there is no gh"),
        ("github", "me/bundles/tag", lose_the_wheel, r"none-any\.whl is not what index\.json says"),
        ("github", "me/bundles/tag", damage, r"knees_v0\.10\.0\.zip is not what index\.json says"),
    ],
)
def test_what_cannot_be_pushed(
    built: Path,
    monkeypatch: pytest.MonkeyPatch,
    to: str,
    repository: str,
    before: Callable[[Path], None],
    message: str,
) -> None:
    monkeypatch.setattr("semimed_monai.zoo.pushing.find_spec", lambda name: None)
    monkeypatch.setattr("semimed_monai.zoo.pushing.shutil.which", lambda name: None)
    before(built)
    with pytest.raises((ValueError, OSError, ModuleNotFoundError), match=message):
        push(built, to, repository, False, lambda line: None)


def test_the_command_says_what_is_not_installed(
    built: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semimed_monai.zoo.pushing.find_spec", lambda name: None)
    with pytest.raises(SystemExit) as ended:
        main(["push", "--zoo", str(built), "--to", "huggingface", "me"])
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("error: huggingface_hub is not installed")
