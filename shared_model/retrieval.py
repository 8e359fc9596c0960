"""The choice of an item: a head over the merchant's own catalogue, and a tower that knows items by content.

The score of an item is <z W, tower(item)> + own(z), and what the shopper's earlier purchases of it are worth
(`repeats.py`), where the contract asks for that. The tower and W, the prior, travel: they see an item's
content, encoded with the contract's features, and never its number. The table of items, which is the weight
of `own`, and the biases stay. What repeats are worth is a sum of a part that travels and one that stays. All
of them and W start at zero, so before any training all items score alike.

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
from .negatives import Exact, among_all, exactly, nothing, standing
from .repeats import PENALTY, TRAITS, Earlier, none_earlier, traits

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
        own: The table: a row and a bias per item.
        repeats: What earlier purchases are worth everywhere (`repeats.traits`), which travels; None where
            nothing is learnt of them or nothing may be shared.

    Shapes:
        z (..., B, D); vectors of the tower (..., I, D); scores (..., B, I).
    """

    def __init__(
        self,
        task: schema.Retrieval,
        width: int,
        items: int,
        content: int,
        *,
        shares: bool = True,
        generator: torch.Generator,
    ) -> None:
        """Make the head.

        Args:
            task: As declared.
            width: D.
            items: I.
            content: Width of what describes an item; 0 without any.
            shares: Whether the worth of repeats may be learnt together.
            generator: Draws the tower.
        """
        super().__init__(task, width, items)
        self.repeats = _worthless() if task.repeats and shares else None
        if task.repeats:  # a part of the own part, so whatever holds for that holds for it
            self.own.add_module("repeats", _worthless())
        self.content = task.content if content else ()
        self.prior = ItemTower(content, width, generator=generator) if content else None
        self.uses_prior = self.prior is not None
        self.is_residual = False  # popularity is learnt in rounds too, or the tower would have to explain it

    @property
    def is_shared(self) -> bool:
        """Whether anything of the head travels: the tower, or what repeats are worth."""
        return self.uses_prior or self.repeats is not None

    @property
    def own_repeats(self) -> Linear | None:
        """What earlier purchases are worth at this merchant beyond that."""
        found = dict(self.own.named_children()).get("repeats")
        return found if isinstance(found, Linear) else None

    def pull_of_repeats(self, penalty: float) -> float:
        """Return how strongly `own_repeats` is pulled to zero, in rows.

        Args:
            penalty: That of the table; it holds once something was learnt together.
        """
        learnt = self.repeats is not None and bool(self.repeats.weight.detach().any())
        return penalty if learnt else PENALTY

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

    def scores(
        self, z: Tensor, vectors: Tensor | None, *, own: bool = True, earlier: Earlier | None = None
    ) -> Tensor:
        """Return the scores of all items, shape (..., B, I).

        Args:
            z: Representations.
            vectors: As `vectors` returns them.
            own: Add the merchant's own part.
            earlier: What the rows' shoppers bought before; read by a head that learns from repeats.
        """
        found: Tensor = self(z, own=own, prior=self.matched(z, vectors))
        if earlier is None or self.own_repeats is None:
            return found
        return found.scatter_add(-1, earlier.items, self._worth(traits(earlier), own))

    def contested(
        self,
        z: Tensor,
        contest: Contest,
        *,
        own: bool = True,
        describe: Describe | None = None,
        earlier: Earlier | None = None,
    ) -> Tensor:
        """Return per row the logits of the chosen item and of all others together, (B, D) -> (B, 2).

        Where items are drawn, the others are estimated from them: without bias for the sum of their
        exponentials, and exactly where every item is drawn. What a row's shopper bought before weighs too
        much to be left to the draw, so it is always among the others.

        Args:
            z: Representations.
            contest: What the rows chose, and the drawn items.
            own: Add the merchant's own part.
            describe: The content of items; needed where there is a tower.
            earlier: As in `scores`.
        """
        drawn, vectors = contest.drawn, self.vectors(describe, contest.drawn)
        if earlier is None or self.own_repeats is None:
            earlier = none_earlier(len(z), z)

        def logits(z: Tensor, chosen: Tensor, *bought: Tensor) -> Tensor:
            if drawn is None:
                return among_all(self.scores(z, vectors, own=own, earlier=Earlier(*bought)), chosen)
            exact = exactly(chosen, Earlier(*bought))
            scores = self._scores_of(z, exact, describe, own)
            others = standing(self._scores_among(z, drawn, vectors, own), exact, drawn, self.items)
            return torch.stack([scores[:, 0], torch.cat([others, scores[:, 1:]], -1).logsumexp(-1)], -1)

        width = self.items if drawn is None else len(drawn) + earlier.items.shape[-1] * z.shape[-1]
        return _in_chunks(logits, (z, contest.chosen, *earlier), width)

    def _scores_of(self, z: Tensor, exact: Exact, describe: Describe | None, own: bool) -> Tensor:
        """Of each row the scores of the items that are counted exactly, shape (B, K); nothing for others."""
        scores = self._worth(exact.traits, own)
        if own:
            matched = (z.unsqueeze(-2) * self.own.weight[exact.items]).sum(-1)
            scores = scores + matched + self._biases()[exact.items]
        distinct, place = torch.unique(exact.items, return_inverse=True)
        vectors = self.vectors(describe, distinct)
        if vectors is not None:
            scores = scores + (self.wanted(z).unsqueeze(-2) * vectors[place]).sum(-1)
        return scores.masked_fill(~exact.counts, nothing(scores))

    def _scores_among(self, z: Tensor, drawn: Tensor, vectors: Tensor | None, own: bool) -> Tensor:
        """Of each row the scores of the same items by the table and the tower, shape (B, S)."""
        scores = z.new_zeros(len(z), len(drawn))
        if own:
            scores = z @ self.own.weight[drawn].T + self._biases()[drawn]
        return scores if vectors is None else scores + self.wanted(z) @ vectors.T

    def _worth(self, known: Tensor, own: bool) -> Tensor:
        """What items gain for what is known of their earlier purchases, (..., 3) -> (...)."""
        worth = known.new_zeros(*known.shape[:-1], 1)
        for layer in (self.repeats, self.own_repeats if own else None):
            worth = worth if layer is None else worth + layer(known)
        return worth.squeeze(-1)

    def wanted(self, z: Tensor) -> Tensor:
        """Return what the tower's vectors are multiplied with, z W, shape (..., B, D)."""
        assert isinstance(self.prior, ItemTower)  # whoever has vectors has a tower
        wanted: Tensor = self.prior.match(z)
        return wanted

    def _biases(self) -> Tensor:
        assert self.own.bias is not None  # heads have one
        return self.own.bias


def _worthless() -> Linear:
    layer = Linear(TRAITS, 1, generator=torch.Generator(), bias=False)
    nn.init.zeros_(layer.weight)
    return layer


def _in_chunks(logits: Callable[..., Tensor], tensors: tuple[Tensor, ...], width: int) -> Tensor:
    """Compute `logits` for some rows at a time, and once more when it is differentiated: never all scores."""
    size = max(1, CELLS // width)
    if len(tensors[0]) <= size:
        return logits(*tensors)
    parts = zip(*(torch.split(tensor, size) for tensor in tensors), strict=True)
    return torch.cat([checkpoint(logits, *part, use_reentrant=False) for part in parts])
