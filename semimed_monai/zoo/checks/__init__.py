"""Faults that a bundle's files show, and those that its networks do.

The first kind is what the public zoo's checks read (licence, metadata, versions, the properties that a recipe must
have) and what they do not: preprocessing, metadata against recipes, what a model card says, what MONAI Label breaks on.
The second kind builds networks, as the public zoo's verify_net_in_out and ckpt_export do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from semimed_monai.zoo.bundles import METADATA, README, Bundle
from semimed_monai.zoo.checks.classes import image_size, input_channels, label_names, one_naming, output_names
from semimed_monai.zoo.checks.components import components
from semimed_monai.zoo.checks.contents import broken_files, medical_images
from semimed_monai.zoo.checks.finding import Finding, first_line
from semimed_monai.zoo.checks.layout import (
    INFERENCE,
    LICENCE,
    TRAIN,
    WEIGHTS,
    links,
    missing_files,
    own_places,
    strange_names,
)
from semimed_monai.zoo.checks.licence import licences
from semimed_monai.zoo.checks.metadata import against_schema, channels, versions
from semimed_monai.zoo.checks.model_card import broken_lines, commands, dead_links, inline_code, sections
from semimed_monai.zoo.checks.monai_label import answers, first_tensors, kind_of_model, shown_options, trains
from semimed_monai.zoo.checks.networks import exported, prepared_images, shapes
from semimed_monai.zoo.checks.performance import intended_use, metrics
from semimed_monai.zoo.checks.preprocessing import one_preprocessing
from semimed_monai.zoo.checks.recipes import (
    bundle_roots,
    experiments,
    loaded_weights,
    overlays,
    properties,
    references,
)

__all__ = ["OF_FILES", "OF_METADATA", "OF_NETWORKS", "Finding", "check"]

Check = Callable[[Bundle], Iterable[Finding]]
Checks = Mapping[str, Sequence[Check]]
"""By the file that they are mostly about."""

OF_FILES: Checks = {
    ".": (strange_names, links, own_places, medical_images),
    TRAIN: (properties, references, components, overlays, bundle_roots, one_preprocessing, trains),
    INFERENCE: (shown_options, one_naming, loaded_weights),
    "experiments": (experiments,),
    README: (sections, broken_lines, commands, inline_code, dead_links),
}

OF_METADATA: Checks = {
    METADATA: (versions, channels, output_names, label_names, input_channels, first_tensors, kind_of_model),
    INFERENCE: (image_size, answers),
    README: (metrics, intended_use),
    LICENCE: (licences,),
}
"""They take it that the file is as its schema wants it."""

OF_NETWORKS: Checks = {INFERENCE: (prepared_images, shapes), WEIGHTS: (exported,)}


def check(bundle: Bundle, weights: bool = False, quick: bool = False) -> list[Finding]:
    """All that is wrong with a bundle.

    Args:
        bundle: which.
        weights: whether it is to have some.
        quick: leave out what builds networks.
    """
    found = _found_by({".": (partial(missing_files, weights=weights), broken_files)}, bundle)
    if found:  # without these files nothing else can be told
        return found
    found = _found_by({METADATA: (against_schema,)}, bundle) or _found_by(OF_METADATA, bundle)
    found += _found_by(OF_FILES, bundle)
    return found or ([] if quick else _found_by(OF_NETWORKS, bundle))


def _found_by(checks: Checks, bundle: Bundle) -> list[Finding]:
    """By all of them; what several of them find once."""
    found = (finding for file, several in checks.items() for one in several for finding in _of(one, file, bundle))
    return list(dict.fromkeys(found))


def _of(one: Check, file: str, bundle: Bundle) -> Iterator[Finding]:
    """One check's; where it breaks, that is one, as other checks and other bundles are to be heard, too."""
    try:
        yield from one(bundle)
    except Exception as error:  # noqa: BLE001 - whatever a check did not foresee
        what = f"it cannot be checked ({type(error).__name__}: {first_line(error)})"
        yield Finding(bundle.name, file, what, "correct what that is about")
