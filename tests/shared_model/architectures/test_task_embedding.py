"""One network, told by a vector which task it works for."""

import pytest
import torch

from shared_model.schema import TaskEmbedding

from .bottoms import X, bottom, fill, inputs

TASKS = ("late", "spend")


def test_with_equal_vectors_all_tasks_get_the_same_representation() -> None:
    made = bottom(TaskEmbedding(architecture="task_embedding", hidden=(4, 3)), *TASKS)
    different = made(X, TASKS)
    made.vectors["spend"].load_state_dict(made.vectors["late"].state_dict())
    same = made(X, TASKS)
    assert not torch.equal(different["late"], different["spend"])
    assert torch.equal(same["late"], same["spend"])
    assert torch.equal(same["late"], different["late"])


def test_the_vector_enters_the_first_layer() -> None:
    made = bottom(TaskEmbedding(architecture="task_embedding", hidden=(1, 1), width=2), *TASKS)
    fill(made.first, weight=[[1.0, 2.0]], bias=[0.5])
    fill(made.condition, weight=[[10.0, 100.0]])
    fill(made.rest.layers[0], weight=[[3.0]], bias=[0.0])
    fill(made.vectors["late"], weight=[[9.0, 9.0], [0.2, 0.03]])
    # 3 * (1 * 1 + 2 * 1 + 0.5 + 10 * 0.2 + 100 * 0.03) = 3 * 8.5; row 0 of a table means "missing"
    assert made(inputs([1.0, 1.0]), TASKS)["late"].item() == pytest.approx(25.5)


def test_vectors_of_own_tasks_stay() -> None:
    made = bottom(TaskEmbedding(architecture="task_embedding"), *TASKS, own=("upsell",))
    assert made.parts.stay == ("vectors.upsell",)
