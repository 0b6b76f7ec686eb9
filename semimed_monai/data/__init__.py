"""Datalists, splits by group, and two-stream sampling."""

from __future__ import annotations

from semimed_monai.data.datalist import Datalist, DatalistError, write_datalist
from semimed_monai.data.splits import choose_labelled, split_by_group
from semimed_monai.data.streams import TwoStreamBatches

__all__ = ["Datalist", "DatalistError", "TwoStreamBatches", "choose_labelled", "split_by_group", "write_datalist"]
