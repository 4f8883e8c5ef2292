"""A small news recommender in plain Python: which articles may interest a user, and in which order.

Training and service import the same module: what is pickled here is unpickled there by these names.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

TOPICS = ("climate", "culture", "economy", "football", "politics", "science")
ARTICLES = tuple(f"{topic}-{number:02d}" for topic in TOPICS for number in range(1, 21))
USERS = 150
HELD_OUT_WEEK = 0  # never trained on: every model is measured with the same clicks

Clicks = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Recommender:
    """Which articles may interest a user: those that readers of the same articles read, else the popular ones.

    ``read`` is who read what, ``popularity`` how often each article was read, and ``together`` how many readers each
    pair of articles shares.
    """

    read: Mapping[str, frozenset[str]]
    popularity: Mapping[str, float]
    together: Mapping[str, Mapping[str, int]]

    def candidates(self, user: str, limit: int = 30) -> list[str]:
        """Return the articles that may interest a user, without those already read; for a stranger the popular ones."""
        seen = self.read.get(user, frozenset())
        votes = Counter(dict.fromkeys(self.popularity, 0))
        for article in sorted(seen):
            votes.update(self.together.get(article, {}))
        new = [article for article in self.popularity if article not in seen]
        return sorted(new, key=lambda each: (-votes[each], -self.popularity[each], each))[:limit]

    def features(self, user: str, article: str) -> tuple[float, float, float]:
        """Return what a ranker judges an article by: shared readers, its topic's part of what was read, popularity."""
        seen = self.read.get(user, frozenset())
        if not seen:
            return 0.0, 0.0, self.popularity[article]
        shared = sum(self.together.get(article, {}).get(each, 0) for each in seen) / len(seen)
        topical = sum(each.partition("-")[0] == article.partition("-")[0] for each in seen) / len(seen)
        return math.log1p(shared), topical, self.popularity[article]


@dataclass(frozen=True)
class Ranker:
    """A logistic regression over the features of a user and an article."""

    weights: tuple[float, ...]
    bias: float

    def score(self, features: Iterable[float]) -> float:
        """Return how likely the article is to be read, from 0 to 1."""
        total = self.bias + sum(weight * value for weight, value in zip(self.weights, features, strict=True))
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))


class Bundle(TypedDict):
    """What is trained, registered and served as one: a ranker fits the recommender it was trained with."""

    recommender: Recommender
    ranker: Ranker


def recommended(bundle: Bundle, user: str, limit: int = 5) -> list[str]:
    """Return the best articles for a user, best first."""
    recommender, ranker = bundle["recommender"], bundle["ranker"]
    candidates = recommender.candidates(user)
    return sorted(candidates, key=lambda each: -ranker.score(recommender.features(user, each)))[:limit]


def check(bundle: Bundle) -> None:
    """Raise unless the bundle recommends something to a known and to an unknown user; tried before it is served."""
    for user in ("user-1", "nobody"):
        if not recommended(bundle, user):
            raise ValueError(f"the bundle recommends nothing to {user!r}")


def clicks_of(weeks: int) -> dict[str, list[str]]:
    """Return what each user read in the first weeks, the earliest first; the same for everyone who asks."""
    read: dict[str, list[str]] = defaultdict(list)
    for week in range(1, weeks + 1):
        for user, articles in _week(week).items():
            read[user] += articles
    return dict(read)


def trained(clicks: Clicks) -> Bundle:
    """Train a recommender on all clicks, and a ranker to tell each user's latest click from other candidates."""
    earlier = _fitted({user: articles[:-1] for user, articles in clicks.items()})
    draw = random.Random(7)
    examples: list[tuple[tuple[float, ...], int]] = []
    for user, articles in clicks.items():
        examples.append((earlier.features(user, articles[-1]), 1))
        examples += [(earlier.features(user, article), 0) for article in draw.sample(ARTICLES, 3)]
    return {"recommender": _fitted(clicks), "ranker": _regression(examples)}


def hit_rate(bundle: Bundle, limit: int = 5) -> float:
    """Return for which part of the users a recommended article is among those they read in the held-out week."""
    held_out = _week(HELD_OUT_WEEK)
    hits = sum(bool(set(recommended(bundle, user, limit)) & set(articles)) for user, articles in held_out.items())
    return hits / len(held_out)


def _week(week: int) -> dict[str, list[str]]:
    """Return one week of made-up clicks: users keep two favourite topics, and read each article at most once."""
    return {f"user-{number}": _stream(number, 4 * (week + 1))[4 * week :] for number in range(1, USERS + 1)}


def _stream(number: int, length: int) -> list[str]:
    """Return the first articles that a user reads; low article numbers are read most."""
    draw = random.Random(number)
    favourites = draw.sample(TOPICS, 2)
    articles: dict[str, None] = {}
    while len(articles) < length:
        topic = draw.choice(favourites if draw.random() < 0.8 else TOPICS)
        articles[f"{topic}-{int(draw.triangular(1, 21, 1)):02d}"] = None
    return list(articles)


def _fitted(clicks: Clicks) -> Recommender:
    """Count who read what, how often, and what was read by the same people."""
    read = {user: frozenset(articles) for user, articles in clicks.items()}
    counts = Counter(article for articles in clicks.values() for article in articles)
    most = max(counts.values(), default=1)
    together: dict[str, Counter[str]] = {article: Counter() for article in ARTICLES}
    for articles in read.values():
        for article in articles:
            together[article].update(articles - {article})
    popularity = {article: counts[article] / most for article in ARTICLES}
    return Recommender(read, popularity, {article: dict(found) for article, found in together.items()})


def _regression(examples: list[tuple[tuple[float, ...], int]], rounds: int = 40, rate: float = 0.05) -> Ranker:
    """Fit a logistic regression by gradient steps in an order that is always the same."""
    weights, bias = [0.0] * len(examples[0][0]), 0.0
    order = random.Random(7)
    for _ in range(rounds):
        order.shuffle(examples)
        for features, label in examples:
            wrong = label - Ranker(tuple(weights), bias).score(features)
            weights = [weight + rate * wrong * value for weight, value in zip(weights, features, strict=True)]
            bias += rate * wrong
    return Ranker(tuple(weights), bias)
