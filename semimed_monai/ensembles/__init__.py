"""An ensemble out of finished runs of its members: which of them, and how they vote, is chosen on validation.

`search` judges all subsets by all rules at once, `assembly` reads the runs and makes the network, `leakage` says what
the folds flatter by.
"""

from __future__ import annotations

from semimed_monai.ensembles.assembly import Assembly
from semimed_monai.ensembles.search import Vote, search

__all__ = ["Assembly", "Vote", "search"]
