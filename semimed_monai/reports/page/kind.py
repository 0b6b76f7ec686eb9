"""What differs between the pages of a classifier and of a segmenter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from semimed_monai.reports.page.figures import Picture
from semimed_monai.reports.page.run import Run


@dataclass(frozen=True)
class Kind:
    """A page's own part.

    Args:
        template: fills the blocks of page.html.j2.
        titles: scores in words; a key that ends in "/" is followed by a class's name.
        headlines: the scores that stand large.
        content: what its template shows beyond what every page does, `gallery` (heading → cases) always.
        charts: name → the charts in that content.
        has_shares: whether runs with other labelled shares can stand beside it.
    """

    template: str
    titles: Mapping[str, str]
    headlines: Sequence[str]
    content: Callable[[Run[Any]], dict[str, Any]]
    charts: Callable[[Mapping[str, Any]], Mapping[str, Picture]]
    has_shares: bool = False

    def title_of(self, score: str) -> str:
        """A score in words, or as it is where there are none.

        >>> kind = Kind("example.html.j2", {"dice": "Dice, mean of classes", "dice/": "Dice of"}, (), dict, dict)
        >>> kind.title_of("dice"), kind.title_of("dice/meniscus"), kind.title_of("kappa")
        ('Dice, mean of classes', 'Dice of meniscus', 'kappa')
        """
        kind, slash, name = score.partition("/")
        if slash and kind + slash in self.titles:
            return f"{self.titles[kind + slash]} {name}"
        return self.titles.get(score, score)
