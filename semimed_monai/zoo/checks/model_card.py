"""What docs/README.md says: its sections, and that its commands name modules, files and settings that there are."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from pydoc import ErrorDuringImport, locate

from semimed_monai.overrides import unknown_keys
from semimed_monai.zoo.bundles import METADATA, README, Bundle, section_of
from semimed_monai.zoo.checks.finding import Finding
from semimed_monai.zoo.checks.layout import INFERENCE, TRAIN

SECTIONS = (
    "Intended use",
    "Data",
    "Training configuration",
    "Input",
    "Output",
    "Performance",
    "MONAI bundle commands",
    "References",
    "License",
)

UNPACKED = ("benchmarks",)
"""Of the project, but not of its wheel: where a bundle lies without them nothing is said of them."""

_MADE = ("models", "eval")
"""Folders of a bundle that its commands fill."""

_FENCE = re.compile(r"^```(bash|sh|shell|zsh|console|shell-session)\b[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SESSIONS = ("console", "shell-session")
"""Fences in which commands stand after a prompt, and what they print below."""
_ANY_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Command:
    """`python -m module arguments`, out of a line that may have more than one.

    >>> Command.all_in("for i in 1 2; do python -m a.b --out X; done; torchrun --n 2 -m c run")
    [Command(module='a.b', arguments=('--out', 'X')), Command(module='c', arguments=('run',))]
    """

    module: str
    arguments: tuple[str, ...]

    @classmethod
    def all_in(cls, line: str) -> list[Command]:
        words = shlex.shlex(line, posix=True, punctuation_chars=";&|")
        words.whitespace_split = True
        parts: list[list[str]] = [[]]
        for word in words:
            if set(word) <= set(";&|"):
                parts.append([])
            else:
                parts[-1].append(word)
        return [cls(part[part.index("-m") + 1], tuple(part[part.index("-m") + 2 :])) for part in parts if "-m" in part]

    @property
    def options(self) -> dict[str, str]:
        """By name, without dashes; one without a value has "True"."""
        found: dict[str, str] = {}
        words = list(self.arguments)
        while words:
            word = words.pop(0)
            if word.startswith("--"):
                name, is_set, value = word[2:].partition("=")
                found[name] = value if is_set else "True" if not words or words[0].startswith("--") else words.pop(0)
        return found


def sections(bundle: Bundle) -> Iterator[Finding]:
    """Those of the public zoo's cards, each with something in it."""
    text = _text(bundle)
    if not text.startswith("# Model Overview"):
        yield Finding(bundle.name, README, "it does not begin with '# Model Overview'", "begin with it")
    for section in SECTIONS:
        if not section_of(text, section).strip():
            yield Finding(bundle.name, README, f"it has no section '## {section}'", "write it")
    if "not a medical device" not in text.lower():
        yield Finding(bundle.name, README, "it does not say: not a medical device", "say it under '## Intended use'")


def broken_lines(bundle: Bundle) -> Iterator[Finding]:
    """Rows of a table that have other columns than its head, and backticks without their second."""
    head = ""
    for line in _ANY_FENCE.sub("", _text(bundle)).splitlines():
        is_row = line.startswith("|")
        head = (head or line) if is_row else ""
        if line.count("`") % 2:
            what = "a backtick has no second one on its line"
        elif is_row and _columns(line) != _columns(head):
            what = f"a row has {_columns(line)} columns, and its table {_columns(head)}"
        else:
            continue
        yield Finding(bundle.name, README, f"{what}: {line[:80]!r}", "write the line again")


def _columns(row: str) -> int:
    """Of a table's row."""
    return len(re.findall(r"(?<!\\)\|", re.sub(r"`[^`]*`", "", row)))


def dead_links(bundle: Bundle) -> Iterator[Finding]:
    """Pictures and files that are not there."""
    folder = bundle.folder.resolve()
    for target in re.findall(r"\]\(([^)\s]+)\)", _text(bundle)):
        place = (folder / "docs" / target).resolve()
        looked_at = place.is_relative_to(folder) or _in_project(bundle)
        if not re.match(r"[a-z]+:|#", target) and looked_at and not place.exists():
            yield Finding(bundle.name, README, f"it links to {target}, which is not in docs/", "correct the link")


def commands(bundle: Bundle) -> Iterator[Finding]:
    """In fences and in the text."""
    text = _text(bundle)
    lines = [line for kind, fence in _FENCE.findall(text) for line in _lines(kind, fence)]
    lines += [span for span in _spans(text) if "python -m " in span]
    for line in lines:
        try:
            found = Command.all_in(line)
        except ValueError as error:
            yield Finding(bundle.name, README, f"no shell reads {line!r} ({error})", "correct the command")
            continue
        for command in found:
            for what in _faults(bundle, command):
                yield Finding(bundle.name, README, f"{what} (in {line.strip()!r})", "correct the command")


def _lines(kind: str, fence: str) -> list[str]:
    """Those of a fence that are commands."""
    lines = fence.replace("\\\n", " ").splitlines()
    prompted = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return prompted if kind in _SESSIONS or prompted else lines


def inline_code(bundle: Bundle) -> Iterator[Finding]:
    """Settings, files and names of the library that the text mentions."""
    text = _text(bundle)
    modules = {command.module for line in text.splitlines() if "-m " in line for command in _commands_of(line)}
    for span in dict.fromkeys(_spans(text)):
        if span.startswith("--"):
            names = list(Command("", tuple(span.split())).options)
            for name in [name for name in names if not _is_setting(bundle, name, modules)]:
                yield Finding(bundle.name, README, f"no recipe has a setting {name} ({span!r})", "correct its name")
        elif re.fullmatch(r"(semimed_monai|data_prep|benchmarks)(\.\w+)+", span) and not _is_name(bundle, span):
            yield Finding(bundle.name, README, f"there is no {span}", "correct the name")
        elif re.fullmatch(r"(configs|experiments|docs)/[\w./-]+\.\w+", span) and not (bundle.folder / span).exists():
            yield Finding(bundle.name, README, f"there is no {span} in the bundle", "correct the path")


def _faults(bundle: Bundle, command: Command) -> Iterator[str]:
    if not _is_module(bundle, command.module):
        yield f"there is no module {command.module}"
        return
    paths = [path for word in command.arguments for path in _paths(word)]
    yield from (f"there is no {path}" for path in paths if not _exists(bundle, path))
    if not all(_place(bundle, path).exists() for path in paths):  # whose settings nobody can tell
        return
    if command.module == "monai.bundle" and command.arguments[:1] == ("run",):
        yield from _unknown_settings(bundle, command)
    elif command.module.split(".")[0] in ("semimed_monai", "data_prep", "benchmarks"):
        for name in [] if _is_absent(bundle, command.module) else command.options:
            if not _is_option(bundle, command.module, name):
                yield f"{command.module} takes no --{name}"


def _unknown_settings(bundle: Bundle, command: Command) -> Iterator[str]:
    """What a recipe that is run does not have."""
    options = command.options
    configs = [str(_place(bundle, path)) for path in _paths(options.get("config_file", ""))]
    if not configs:
        yield "it runs no config"
        return
    settings = {name: value for name, value in options.items() if name != "config_file"}
    for name in unknown_keys(configs, settings):
        yield f"the recipe has no setting {name}"


def _paths(word: str) -> list[str]:
    """Those of bundles, in an argument or a list of them."""
    if word.startswith("["):
        try:
            listed = ast.literal_eval(word)
        except (ValueError, SyntaxError):
            return []
    else:
        listed = [word.partition("=")[2] if word.startswith("--") else word]
    return [path for path in listed if re.match(r"bundles/\w", str(path))]


def _exists(bundle: Bundle, path: str) -> bool:
    parts = Path(path).parts
    if parts[1] != bundle.name and not _in_project(bundle):
        return True
    return _place(bundle, path).exists() or (len(parts) > 2 and parts[2] in _MADE)


def _place(bundle: Bundle, path: str) -> Path:
    """Where a path of the repository lies: in this bundle, wherever it is, or beside it."""
    name, *rest = Path(path).parts[1:]
    folder = bundle.folder if name == bundle.name else bundle.folder.resolve().parent / name
    return folder.joinpath(*rest)


def _is_module(bundle: Bundle, name: str) -> bool:
    return any((_spec(name), _source(bundle, name), _is_absent(bundle, name)))


def _spec(name: str) -> ModuleSpec | None:
    """Of a module that can be imported; a package above it need not be there."""
    try:
        return find_spec(name)
    except ModuleNotFoundError:
        return None


def _is_absent(bundle: Bundle, name: str) -> bool:
    return name.split(".", maxsplit=1)[0] in UNPACKED and not _in_project(bundle)


def _in_project(bundle: Bundle) -> bool:
    """Whether it lies in bundles/ of one; a fetched copy need not have others beside it."""
    return (bundle.folder.resolve().parents[1] / "pyproject.toml").is_file()


def _source(bundle: Bundle, name: str) -> Path | None:
    """A module that lies with the bundles, and is not installed."""
    place = bundle.folder.resolve().parents[1].joinpath(*name.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__main__.py") if path.is_file()), None)


def _is_name(bundle: Bundle, name: str) -> bool:
    try:
        return locate(name) is not None or _source(bundle, name) is not None or _is_absent(bundle, name)
    except ErrorDuringImport:
        return False


def _is_option(bundle: Bundle, module: str, name: str) -> bool:
    """Whether the module, or one beside it, speaks of it."""
    return any(pattern.fullmatch(name) for pattern in _options(bundle.folder.resolve().parents[1], module))


@cache
def _options(root: Path, module: str) -> list[re.Pattern[str]]:
    """All that the code in the folder of a module calls --something; what is put together there may be any word."""
    found = _spec(module)
    folder = Path(found.origin).parent if found and found.origin else root / module.split(".", maxsplit=1)[0]
    code = "\n".join(file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.py")))
    named = dict.fromkeys(re.findall(r'"--([\w{}-]+)"', code))
    return [re.compile(re.sub(r"\{\w+\}", r"[\\w-]+", name)) for name in named]


def _is_setting(bundle: Bundle, name: str, modules: set[str]) -> bool:
    overlays = [file.as_posix() for file in bundle.files if file.match("configs/*.json")]
    recipes: list[Sequence[str]] = [[one] for one in (TRAIN, INFERENCE)]
    recipes += [[TRAIN, one] for one in overlays if one not in (TRAIN, INFERENCE, METADATA)]
    if any(not unknown_keys([bundle.folder / one for one in recipe], {name: "True"}) for recipe in recipes):
        return True
    return any(_is_option(bundle, module, name) for module in modules)


def _commands_of(line: str) -> list[Command]:
    """Of a line of text, as far as there is one in it."""
    found = []
    for part in [line, *_spans(line)]:
        try:
            found += Command.all_in(part)
        except ValueError:  # an apostrophe: no command
            continue
    return found


def _spans(text: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`\n]+)`", _ANY_FENCE.sub("", text))


def _text(bundle: Bundle) -> str:
    return (bundle.folder / README).read_text(encoding="utf-8")
