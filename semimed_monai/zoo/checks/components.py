"""Components of recipes: what they name is there, and takes what they give it.

Looked for: MONAI instantiates a component when it is asked for, which may be after the training, and says then what it
does not take; semimed_monai.overrides looks at what a command gives.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pydoc import ErrorDuringImport, locate
from typing import Any

from monai.bundle import ComponentLocator, ConfigComponent

from semimed_monai.zoo.bundles import Bundle
from semimed_monai.zoo.checks.finding import Finding
from semimed_monai.zoo.checks.recipes import recipes

_MONAIS = ComponentLocator()


def components(bundle: Bundle) -> Iterator[Finding]:
    """Each as its recipe has it, so with what an overlay adds to it; what a recipe has already shown is said once."""
    shown = set()
    for file, parser in recipes(bundle):
        for place, component in _components(parser.get()):
            what = _fault(component)
            if what and (place, what) not in shown:
                shown.add((place, what))
                yield Finding(bundle.name, file, f"{place}: {what}", "correct the component, or install what it is of")


def _components(config: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All of a recipe, with the keys that lead to them."""
    if ConfigComponent.is_instantiable(config):
        yield place, config
    entries = config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, list) else ()
    for name, inner in entries:
        yield from _components(inner, f"{place}#{name}" if place else str(name))


def _fault(component: dict[str, Any]) -> str:
    """What is wrong with it, or ""."""
    target = component["_target_"]
    if not isinstance(target, str):
        return f"its _target_ is {target!r}, and no name"
    if target.startswith(("$", "@", "%")):
        return ""
    called = _called(target)
    if not callable(called):
        return f"there is no component {target}"
    return f"{target}: {refusal}" if (refusal := _refusal(called, component)) else ""


def _refusal(called: Callable[..., Any], component: dict[str, Any]) -> str:
    """What it does not take, or misses; "" of one in C that does not say what it takes: the run will."""
    given = {name: value for name, value in component.items() if name not in ConfigComponent.non_arg_keys}
    try:
        signature = inspect.signature(called)
        (signature.bind_partial if component.get("_mode_") == "callable" else signature.bind)(**given)
    except ValueError:
        return ""
    except TypeError as error:
        return str(error)
    return ""


def _called(target: str) -> Any:
    """The class or function of that name, of MONAI's where it is a name only."""
    found: Any = ConfigComponent({"_target_": target}, locator=_MONAIS)  # MONAI has no type hints here
    try:
        return locate(found.resolve_module_name())
    except ErrorDuringImport:
        return None
