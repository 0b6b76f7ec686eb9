"""Faults that a bundle's files show, and those that its networks do.

The first kind is what the public zoo's checks read (licence, metadata, versions, the properties that a recipe must
have) and what they do not: preprocessing, metadata against recipes, what a model card says. The second kind builds
networks, as the public zoo's verify_net_in_out and ckpt_export do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from semimed_monai.zoo.bundles import Bundle
from semimed_monai.zoo.checks.finding import Finding
from semimed_monai.zoo.checks.layout import broken_files, missing_files, own_places, strange_names
from semimed_monai.zoo.checks.metadata import against_card, against_recipes, against_schema, channels, versions
from semimed_monai.zoo.checks.model_card import broken_lines, commands, dead_links, inline_code, sections
from semimed_monai.zoo.checks.networks import exported, prepared_images, shapes
from semimed_monai.zoo.checks.preprocessing import one_preprocessing
from semimed_monai.zoo.checks.recipes import experiments, properties, references, targets

__all__ = ["OF_FILES", "OF_NETWORKS", "Finding", "check"]

Check = Callable[[Bundle], Iterable[Finding]]

OF_FILES: Sequence[Check] = (
    strange_names,
    own_places,
    against_schema,
    versions,
    channels,
    against_recipes,
    against_card,
    properties,
    targets,
    references,
    experiments,
    one_preprocessing,
    sections,
    broken_lines,
    commands,
    inline_code,
    dead_links,
)

OF_NETWORKS: Sequence[Check] = (prepared_images, shapes, exported)


def check(bundle: Bundle, weights: bool = False, quick: bool = False) -> list[Finding]:
    """All that is wrong with a bundle.

    Args:
        bundle: which.
        weights: whether it is to have some.
        quick: leave out what builds networks.
    """
    found = [*missing_files(bundle, weights), *broken_files(bundle)]
    if found:  # without these files nothing else can be told
        return found
    found = [finding for one in OF_FILES for finding in one(bundle)]
    if not quick and not found:
        found = [finding for one in OF_NETWORKS for finding in one(bundle)]
    return found
