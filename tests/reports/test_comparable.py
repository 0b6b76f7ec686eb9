"""Runs are compared only if they were measured on the same."""

from __future__ import annotations

import pytest

from semimed_monai.reports.comparable import COMPARABLE, refuse_unequal


@pytest.mark.parametrize("key", COMPARABLE)
def test_a_difference_in_what_was_measured_is_refused_by_name(key: str) -> None:
    run = dict.fromkeys(COMPARABLE, "same")
    refuse_unequal([run, {**run, "seed": 1}])
    with pytest.raises(ValueError, match=f"differ in {key}: other, same"):
        refuse_unequal([run, {**run, key: "other"}])
