"""The public agreement: what `federation.toml` may say.

Every merchant and the coordinator hold the same file; `fingerprint` tells whether they do. Nothing in it
depends on any merchant's data: vocabularies are hashed, transforms have public constants.

Letters used throughout the package: B rows, D width, T tasks, M merchants, P parameters.
"""

from .adaptation import Adaptation
from .bottoms import PLE, Bottom, Cascade, MMoE, SharedBottom, TaskEmbedding, Wide
from .checks import check_content, check_task
from .features import Categorical, Feature, Features, Multi, Numeric, Sequence, Text, Vector
from .federation import Federation
from .parsing import load_federation, parse_federation
from .primitives import Buckets, Count, Finite, Name, NonNegative, Positive, Scope, Width
from .privacy import Aggregate, MerchantPrivacy, Privacy, Role, TaskPrivacy, Telemetry, Tier
from .private_checks import reads_across_shoppers, tasks_of_items, with_labels
from .tasks import (
    Binary,
    CountTask,
    HeadPolicy,
    Multiclass,
    Multilabel,
    Regression,
    Retrieval,
    Task,
    TaskDeclaration,
)
from .training import Conflict, LocalTraining, MetaLearning, Rounds, ServerOptimizer, Weighting

__all__ = [
    "PLE", "Adaptation", "Aggregate", "Binary", "Bottom", "Buckets", "Cascade", "Categorical",
    "Conflict", "Count", "CountTask", "Feature", "Features", "Federation", "Finite", "HeadPolicy",
    "LocalTraining", "MMoE", "MerchantPrivacy", "MetaLearning", "Multi", "Multiclass", "Multilabel",
    "Name", "NonNegative", "Numeric", "Positive", "Privacy", "Regression", "Retrieval", "Role", "Rounds",
    "Scope", "Sequence", "ServerOptimizer", "SharedBottom", "Task", "TaskDeclaration", "TaskEmbedding",
    "TaskPrivacy", "Telemetry", "Text", "Tier", "Vector", "Weighting", "Wide", "Width", "check_content",
    "check_task", "load_federation", "parse_federation", "reads_across_shoppers", "tasks_of_items",
    "with_labels",
]  # fmt: skip
