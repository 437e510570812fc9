"""Trains the next model while the gates of the last one run in their own process: half a minute less for a year."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from services.sample import data, training
from services.sample.data import Recipe, Split
from services.sample.training import Trained

Work = tuple[Split, Trained]


class Ahead:
    """Hands out what each recipe gives, and begins with the next one of `recipes` as soon as one is taken."""

    def __init__(self, recipes: Sequence[Recipe]) -> None:
        self._recipes = recipes
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._begun: dict[Recipe, Future[Work]] = {}

    def __enter__(self) -> Ahead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def take(self, recipe: Recipe) -> Work:
        """The tables and the model of a recipe, the same whether they were begun before or are made now."""
        found = self._begin(recipe).result()
        self._begun.clear()
        following = self._recipes[self._recipes.index(recipe) + 1 :]
        if following:
            self._begin(following[0])
        return found

    def _begin(self, recipe: Recipe) -> Future[Work]:
        if recipe not in self._begun:
            self._begun[recipe] = self._pool.submit(_make, recipe)
        return self._begun[recipe]


def _make(recipe: Recipe) -> Work:
    tables = data.split(recipe)
    return tables, training.train(recipe, tables)
