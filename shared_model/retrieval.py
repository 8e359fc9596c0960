"""The choice of an item: a head over the merchant's own catalogue, and a tower that knows items by content.

The score of an item is <z W, tower(item)> + own(z). The tower and W, the prior, travel: they see an item's
content, encoded with the contract's features, and never its number. The table of items, which is the weight
of `own`, and the biases stay. W starts at zero, so before any training all items score alike.

In a training step a row has two logits: of the item that it chose, and of all others together, which is the
logarithm of their summed exponentials. Their cross-entropy is that of the softmax over all items, and only
`CELLS` scores exist at a time. A catalogue too large for that is sampled.

Notation: B rows, I items, S drawn items, C width of content, D width of a representation.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from . import schema
from .features import Contest
from .heads import Head
from .layers import Linear

CELLS = 1 << 23
"""About so many scores exist at a time."""

Describe = Callable[[Tensor | None], Tensor]
"""`describe(positions)`: the content of some items, of all for None, shape (items, C)."""


class ItemTower(nn.Module):
    """From the content of items to vectors, and from representations to what is looked for among them.

    Source: Yi et al. (2019), "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
    Recommendations", section 3: two towers that meet in an inner product.
    """

    def __init__(self, content: int, width: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.tower = Linear(content, width, generator=generator)
        self.match = Linear(width, width, generator=generator, bias=False)
        nn.init.zeros_(self.match.weight)

    def forward(self, content: Tensor) -> Tensor:
        """Return the vectors of items, (..., I, C) -> (..., I, D)."""
        vectors: Tensor = self.tower(content)
        return vectors


class RetrievalHead(Head):
    """Scores of the items of a catalogue.

    Attributes:
        content: Names of the features that describe items; without any there is no prior.

    Shapes:
        z (..., B, D); vectors of the tower (..., I, D); scores (..., B, I).
    """

    def __init__(
        self, task: schema.Retrieval, width: int, items: int, content: int, *, generator: torch.Generator
    ) -> None:
        """Make the head over `items` items, whose content is `content` numbers wide (0 without any)."""
        super().__init__(task, width, items)
        self.content = task.content if content else ()
        self.prior = ItemTower(content, width, generator=generator) if content else None
        self.uses_prior = self.prior is not None
        self.is_residual = False  # popularity is learnt in rounds too, or the tower would have to explain it

    @property
    def items(self) -> int:
        """I."""
        return self.own.weight.shape[-2]

    def vectors(self, describe: Describe | None, positions: Tensor | None = None) -> Tensor | None:
        """Return what the tower makes of some items, of all by default; None where there is no tower.

        Raises:
            ValueError: There is a tower, and nothing describes the items.
        """
        if self.prior is None:
            return None
        if describe is None:
            raise ValueError("Expected the items of the catalogue in the batch, got none.")
        found: Tensor = self.prior(describe(positions))
        return found

    def matched(self, z: Tensor, vectors: Tensor | None) -> Tensor | None:
        """Return the scores by content, shape (..., B, I); None without the vectors of items.

        Args:
            z: Representations.
            vectors: As `vectors` returns them.
        """
        return None if vectors is None else self.wanted(z) @ vectors.mT

    def shared(self, z: Tensor) -> Tensor:
        """Refuse: what the tower says depends on the items too (`matched`).

        Raises:
            TypeError: Always.
        """
        raise TypeError("Expected the scores of items by content; representations alone do not tell them.")

    def contested(
        self, z: Tensor, contest: Contest, *, own: bool = True, describe: Describe | None = None
    ) -> Tensor:
        """Return per row the logits of the chosen item and of all others together, (B, D) -> (B, 2).

        Where items are drawn, the others are estimated from them: without bias for the sum of their
        exponentials, and exactly where every item is drawn.

        Args:
            z: Representations.
            contest: What the rows chose, and the drawn items.
            own: Add the merchant's own part.
            describe: The content of items; needed where there is a tower.
        """
        drawn = contest.drawn
        vectors = self.vectors(describe, drawn)

        def logits(z: Tensor, chosen: Tensor) -> Tensor:
            if drawn is None:
                return among_all(self(z, own=own, prior=self.matched(z, vectors)), chosen)
            won = self._scores_of(z, chosen, self.vectors(describe, chosen), own)
            others = self._scores_among(z, drawn, vectors, own)
            return torch.stack([won, standing(others, chosen, drawn, self.items).logsumexp(-1)], -1)

        return _in_chunks(logits, z, contest.chosen, self.items if drawn is None else len(drawn))

    def _scores_of(self, z: Tensor, chosen: Tensor, vectors: Tensor | None, own: bool) -> Tensor:
        """Of each row the score of one item, shape (B,)."""
        score = z.new_zeros(len(z))
        if own:
            score = (z * self.own.weight[chosen]).sum(-1) + self._biases()[chosen]
        return score if vectors is None else score + (self.wanted(z) * vectors).sum(-1)

    def _scores_among(self, z: Tensor, drawn: Tensor, vectors: Tensor | None, own: bool) -> Tensor:
        """Of each row the scores of the same items, shape (B, S)."""
        scores = z.new_zeros(len(z), len(drawn))
        if own:
            scores = z @ self.own.weight[drawn].T + self._biases()[drawn]
        return scores if vectors is None else scores + self.wanted(z) @ vectors.T

    def wanted(self, z: Tensor) -> Tensor:
        """Return what the tower's vectors are multiplied with, z W, shape (..., B, D)."""
        assert isinstance(self.prior, ItemTower)  # whoever has vectors has a tower
        wanted: Tensor = self.prior.match(z)
        return wanted

    def _biases(self) -> Tensor:
        assert self.own.bias is not None  # heads have one
        return self.own.bias


def among_all(scores: Tensor, chosen: Tensor) -> Tensor:
    """Return the logit of the chosen item and that of all others together, (B, I) and (B,) -> (B, 2)."""
    place = chosen.unsqueeze(-1)
    others = scores.scatter(-1, place, _nothing(scores)).logsumexp(-1)
    return torch.stack([scores.gather(-1, place).squeeze(-1), others], -1)


def standing(others: Tensor, chosen: Tensor, drawn: Tensor, items: int) -> Tensor:
    """Return the logits of drawn items, each standing for its share of all but the chosen one, (B, S).

    The items are drawn uniformly without replacement. With n of them other than the row's own, each stands
    for (I - 1) / n; the chosen one, where it was drawn, for none.

    Args:
        others: Scores of the drawn items, shape (B, S).
        chosen: Positions of the chosen items, shape (B,).
        drawn: Positions of the drawn ones, shape (S,).
        items: I.

    Source: Yi et al. (2019), equation 3 (the log-Q correction), for a uniform Q.
    """
    itself = chosen.unsqueeze(-1) == drawn
    share = (items - 1) / (~itself).sum(-1, keepdim=True).clamp_min(1)
    return (others + share.clamp_min(1.0).log().to(others.dtype)).masked_fill(itself, _nothing(others))


def _nothing(scores: Tensor) -> float:
    """A score that no sum of exponentials notices, and that is a number."""
    return torch.finfo(scores.dtype).min / 4


def _in_chunks(logits: Callable[[Tensor, Tensor], Tensor], z: Tensor, chosen: Tensor, width: int) -> Tensor:
    """Compute `logits` for some rows at a time, and once more when it is differentiated: never all scores."""
    size = max(1, CELLS // width)
    if len(z) <= size:
        return logits(z, chosen)
    parts = zip(torch.split(z, size), torch.split(chosen, size), strict=True)
    return torch.cat([checkpoint(logits, *part, use_reentrant=False) for part in parts])
