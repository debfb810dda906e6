"""The folds of themes that were looked at lately, in this process's memory.

They save work and change no answer (see `recurrence.fold_of`): each is compared with the ledger as it
is read, so neither a transaction that is rolled back nor a writer elsewhere can make one wrong.
"""

from collections import OrderedDict

from services.feedback.detection.recurrence import Fold

MOST = 100_000
"""Occurrences in all that are kept: some 30 MB."""


class Folds:
    """By theme, those used last; never more than `most` occurrences, save in a single one."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._folds: OrderedDict[str, Fold] = OrderedDict()
        self._held = 0

    def get(self, theme_id: str) -> Fold | None:
        return self._folds.get(theme_id)

    def keep(self, theme_id: str, fold: Fold | None) -> None:
        """Let this be the theme's, and let go of those that were not used for longest."""
        before = self._folds.pop(theme_id, None)
        self._held -= len(before.given) if before else 0
        if fold is None:
            return
        self._folds[theme_id] = fold
        self._held += len(fold.given)
        while self._held > self._most and len(self._folds) > 1:
            _, oldest = self._folds.popitem(last=False)
            self._held -= len(oldest.given)
