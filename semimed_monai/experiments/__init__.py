"""A paper's table as one file: methods × columns × seeds, each cell an ordinary bundle run.

`plan` reads the file and writes the commands, `spelling` refuses names of nothing, `launch` runs the commands, each in
a process of `forks`, `table` sets them beside the paper's numbers, `tracking` logs them, and
`python -m semimed_monai.experiments` does it all.
"""

from __future__ import annotations

from semimed_monai.experiments.launch import LAUNCHERS, run_cell
from semimed_monai.experiments.plan import Cell, Experiment
from semimed_monai.experiments.table import Results

__all__ = ["LAUNCHERS", "Cell", "Experiment", "Results", "run_cell"]
