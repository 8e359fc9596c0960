"""Ways from a released model to a merchant's own. One file each, one row of the table each.

All of it happens after a release, on the merchant's own rows, and is kept in the serving store; none of it
goes back into training (`tests/client/test_merchant.py`).
"""

from collections.abc import Callable

from shared_model.model import MultiTaskModel

from . import ditto, feature_transfer, fine_tuning, prior
from .start import Start

METHODS: dict[str, Callable[[Start], MultiTaskModel]] = {
    "federated": feature_transfer.personal,
    "fine_tuned": fine_tuning.personal,
    "ditto": ditto.personal,
    "prior": prior.personal,
}
"""Name of a candidate -> from a release to the model that it serves."""
