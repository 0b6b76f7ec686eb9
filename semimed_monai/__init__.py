"""SemiMed: semi- and weakly-supervised medical imaging as MONAI bundles."""

from __future__ import annotations

__version__ = "0.1.0"
