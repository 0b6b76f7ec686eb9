"""The evaluation page: one HTML file that shows what a run has left in its folder."""

from __future__ import annotations

from semimed_monai.reports.page.page import write_page, write_pictures

__all__ = ["write_page", "write_pictures"]
