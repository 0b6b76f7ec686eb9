"""The ensemble of finished runs of its members: a checkpoint of each, the subset and the rule, all by validation."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from semimed_monai.ensembles.search import Vote, search
from semimed_monai.files import write_table, write_tensors
from semimed_monai.metrics import bootstrap_interval, grading_scores
from semimed_monai.networks import Ensemble, decided, read_card, votes, write_card
from semimed_monai.reports.comparable import refuse_unequal
from semimed_monai.reports.page.answers import Grades, read_answers
from semimed_monai.reports.page.run import read_metrics

logger = logging.getLogger("semimed")

VALIDATION = "validation"
"""What a run calls its answers for the section that no fold has a part of."""

OWN_FOLD = "own_fold"
"""What a run calls its answers for the fold that it was validated on."""

LEARNED_ALIKE = ("folds", "grouped_folds", "fold_seed", "labelled_share")
"""What the runs of one ensemble have in common, as their cards say: by what they learned from."""


@dataclass(frozen=True)
class MemberRun:
    """A finished run of a member.

    Args:
        folder: its output_dir.
        card: its network.json.
        metrics: its metrics.json.
        chosen_by: its answers for the validation section.
        tested: its answers for the section that is reported.
        own_fold: its answers for the fold that it was validated on, if it was asked.
    """

    folder: Path
    card: Mapping[str, Any]
    metrics: Mapping[str, Any]
    chosen_by: Grades
    tested: Grades
    own_fold: Grades | None

    @property
    def name(self) -> str:
        """Of torchvision's."""
        return str(self.card["arguments"]["name"])

    @property
    def place(self) -> tuple[str, int, int]:
        """Which member it is, at which size, and of which fold."""
        return self.name, int(self.card["arguments"]["size"]), int(self.card["trained"]["fold"])

    @property
    def f1(self) -> float:
        """On validation."""
        return grading_scores(self.chosen_by.probabilities, self.chosen_by.label)["f1"]

    def row(self, chosen: bool) -> dict[str, Any]:
        """What members.csv says of it."""
        scores = {
            f"{network}/{score}": of[score]["value"]
            for network, of in self.metrics["scores"].items()
            for score in ("accuracy", "f1", "quadratic_kappa")
            if score in of
        }
        name, size, fold = self.place
        return {"member": name, "size": size, "fold": fold, "chosen": chosen, **scores}


class Assembly:
    """Of each member's runs (one a fold) the one with the best F1 on validation; of these the subset and rule with the
    best F1 there.

    Where the reported section is the validation section itself nothing may be chosen on it: the first fold of each
    member, all members, by `rule`.

    In a recipe, over the folder of an experiment's runs:
    `{"_target_": "semimed_monai.ensembles.Assembly", "runs": ["runs/members"], "ckpt_dir": "runs/ensemble/models"}`.

    Args:
        runs: folders in which the runs lie, at any depth.
        ckpt_dir: where the ensemble's model.pt and network.json go.
        rule: of the vote where none is chosen.
        fewest: members of a subset.

    Raises:
        FileNotFoundError: there is no finished run of a member.
        ValueError: runs on different data, of other sections or of folds that were cut otherwise, two runs of one
            fold, or a single member.
    """

    def __init__(self, runs: Sequence[str | Path], ckpt_dir: str | Path, rule: str = "mix", fewest: int = 2) -> None:
        self.folders, self.ckpt_dir = [Path(folder) for folder in runs], Path(ckpt_dir)
        self.rule, self.fewest = rule, fewest

    @cached_property
    def runs(self) -> list[MemberRun]:
        """All finished runs of members, by member and fold."""
        found = {path.parent for folder in self.folders for path in folder.rglob("metrics.json")}
        runs = [run for folder in sorted(found) if (run := read_run_of_member(folder)) is not None]
        if not runs:
            raise FileNotFoundError(
                f"there is no finished run of a member in {self._places}: train some (`python -m "
                "semimed_monai.experiments` with the bundle's experiments/*.json), or set `runs`"
            )
        refuse_unequal(run.metrics for run in runs)
        refuse_unequal((run.card["trained"] for run in runs), LEARNED_ALIKE)
        first = runs[0]
        for run in runs[1:]:
            if run.chosen_by.ids != first.chosen_by.ids or run.tested.ids != first.tested.ids:
                raise ValueError(f"{run.folder} answers for other images than {first.folder}: evaluate both anew")
        runs.sort(key=lambda run: run.place)
        for run, other in pairwise(runs):
            if run.place == other.place:
                raise ValueError(
                    f"{run.folder} and {other.folder} are both of {run.name} at {run.place[1]} pixels, fold "
                    f"{run.place[2]}: set `runs` to folders that hold one of them"
                )
        return runs

    @property
    def _places(self) -> str:
        return ", ".join(map(str, self.folders)) or "no folder"

    @property
    def may_choose(self) -> bool:
        """Whether what is reported is of other images than what is chosen by."""
        return not {*self.runs[0].chosen_by.ids} & {*self.runs[0].tested.ids}

    @cached_property
    def candidates(self) -> list[MemberRun]:
        """One run of each member; a network at two sizes is two members."""
        of_member: dict[tuple[str, int], list[MemberRun]] = {}
        for run in self.runs:
            of_member.setdefault(run.place[:2], []).append(run)
        if len(of_member) < self.fewest:
            names = ", ".join(name for name, _ in of_member)
            raise ValueError(f"{self._places} holds runs of {names} only: train {self.fewest} members or more")
        return [max(runs, key=lambda run: run.f1) if self.may_choose else runs[0] for runs in of_member.values()]

    @cached_property
    def judged(self) -> list[Vote]:
        """Every subset of the candidates by every rule, on validation, the best first."""
        answers = np.stack([run.chosen_by.probabilities for run in self.candidates])
        return search(answers, self.candidates[0].chosen_by.label, self.fewest)

    @cached_property
    def chosen(self) -> Vote:
        """The best of them, or, where nothing may be chosen, all members by `rule`."""
        if self.may_choose:
            return self.judged[0]
        everyone = tuple(range(len(self.candidates)))
        return next(vote for vote in self.judged if vote.members == everyone and vote.rule == self.rule)

    @property
    def members(self) -> list[MemberRun]:
        """The runs that vote."""
        return [self.candidates[place] for place in self.chosen.members]

    @cached_property
    def network(self) -> Ensemble:
        """The ensemble, without weights."""
        return Ensemble([run.card["arguments"] for run in self.members], self.chosen.rule)

    @property
    def size(self) -> int:
        """Pixels along the image's side, which all members were trained on."""
        sizes = {int(run.card["size"]) for run in self.members}
        if len(sizes) > 1:
            raise ValueError(f"members were trained on images of {', '.join(map(str, sorted(sizes)))} pixels: on one")
        return sizes.pop()

    @property
    def facts(self) -> dict[str, Any]:
        """What stands in metrics.json beside the scores."""
        facts: dict[str, Any] = {
            "members": [f"{run.name}, {run.card['arguments']['size']} pixels" for run in self.members],
            "rule": self.chosen.rule,
            "chosen_on": VALIDATION if self.may_choose else "nothing: what is reported is the validation section",
            **{key: self.members[0].card["trained"][key] for key in LEARNED_ALIKE},
        }
        if self.may_choose:
            best = self._tested()[0]
            names = [self.candidates[place].name for place in best.members]
            low, high = (100 * end for end in self._interval(best))
            scored = f"F1 {100 * best.f1:.1f} [{low:.1f}, {high:.1f}]"
            facts["best_on_test"] = f"{' + '.join(names)}, {best.rule}: {scored} (not to be chosen by)"
        return facts

    def _interval(self, vote: Vote) -> tuple[float, float]:
        """Of its F1 on the reported section, by bootstrap over people."""
        tested = [self.candidates[place].tested for place in vote.members]
        answers = torch.from_numpy(np.stack([of.probabilities for of in tested]).astype(np.float64))
        everyone = torch.ones(1, len(tested), dtype=torch.float64)
        voted = np.eye(answers.shape[2])[decided(*votes(answers, everyone), vote.rule)[0].numpy()]
        labels = tested[0].label
        return bootstrap_interval(lambda rows: grading_scores(voted[rows], labels[rows])["f1"], tested[0].groups)

    def save(self, deployed: str = "semimed_monai.networks.DeployedEnsemble") -> None:
        """The ensemble's weights and its card."""
        state: dict[str, Any] = {}
        for place, run in enumerate(self.members):
            weights = torch.load(run.folder / "models" / "model.pt", map_location="cpu", weights_only=True)
            state |= {f"members.{place}.{name}": value for name, value in weights.items()}
        self.network.load_state_dict(state)
        self.ckpt_dir.mkdir(parents=True, exist_ok=True)
        write_tensors(self.ckpt_dir / "model.pt", state)
        card = {"deployed": deployed, "size": self.size, "classes": self.members[0].card["classes"]}
        write_card(self.ckpt_dir / "network.json", {"arguments": self.network.arguments, **card, "trained": self.facts})

    def report(self, output_dir: str | Path) -> None:
        """members.csv, every run; subsets.csv, every subset by every rule on both sections; and what they come to."""
        voting = {run.folder for run in self.members}
        write_table(Path(output_dir) / "members.csv", _aligned([run.row(run.folder in voting) for run in self.runs]))
        tested = {(vote.members, vote.rule): vote for vote in self._tested()}
        rows = [
            {
                "members": " + ".join(self.candidates[place].name for place in vote.members),
                "rule": vote.rule,
                "validation/f1": vote.f1,
                "validation/accuracy": vote.accuracy,
                "reported/f1": tested[vote.members, vote.rule].f1,
                "reported/accuracy": tested[vote.members, vote.rule].accuracy,
            }
            for vote in self.judged
        ]
        write_table(Path(output_dir) / "subsets.csv", rows)
        logger.info("%s", "\n".join(self._lines()))

    def _tested(self) -> list[Vote]:
        answers = np.stack([run.tested.probabilities for run in self.candidates])
        return search(answers, self.candidates[0].tested.label, self.fewest)

    def _lines(self) -> list[str]:
        """A line a member: its folds' mean, and whether it votes."""
        lines = [f"members on the {self.runs[0].metrics['section']} section, mean ± sd over folds:"]
        for candidate in self.candidates:
            scores = [
                grading_scores(run.tested.probabilities, run.tested.label)["f1"]
                for run in self.runs
                if run.place[:2] == candidate.place[:2]
            ]
            spread = f" ± {100 * statistics.stdev(scores):.1f}" if len(scores) > 1 else ""
            mark = "votes" if candidate in self.members else "does not vote"
            lines.append(f"  {candidate.name:<22}F1 {100 * statistics.mean(scores):.1f}{spread}, {mark}")
        return [*lines, f"  they vote {self.chosen.rule}, chosen on: {self.facts['chosen_on']}"]


def read_run_of_member(folder: Path) -> MemberRun | None:
    """A finished run of a member, or None where a folder is something else's: an ensemble's, say.

    Raises:
        ValueError: a file of it is damaged.
    """
    file = folder / "models" / "network.json"
    card = read_card(file) if file.is_file() else {}
    if "member" not in card.get("trained", {}):
        return None
    _, answers = read_answers(folder / "predictions.csv")
    first = next(iter(answers))
    chosen_by, tested = answers.get(VALIDATION, answers[first]), answers[first]
    return MemberRun(folder, card, read_metrics(folder), chosen_by, tested, answers.get(OWN_FOLD))


def _aligned(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same columns in all."""
    columns = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in columns} for row in rows]
