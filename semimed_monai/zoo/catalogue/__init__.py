"""The catalogue: one HTML page without scripts, of what lies beside it in a built zoo."""

from __future__ import annotations

from semimed_monai.zoo.catalogue.page import write_catalogue

__all__ = ["write_catalogue"]
