"""What a merchant is told it has spent is what its ledger counts against the limits, never less."""

from pathlib import Path

from client.spending import spending
from shared_model.privacy.accounting import epsilon
from shared_model.privacy.ledger import Ledger, Limit, read_charges
from shared_model.privacy.limits import spent
from tests.client import shops
from tests.shared_model.privacy.ledgers import charge

POLICY = {"epsilon": 8.0, "delta": 1e-6}


def test_a_second_training_with_chosen_parameters_is_told_as_the_filter_counts_it(tmp_path: Path) -> None:
    agreement = shops.contract(federation={"full_batch": True}, privacy=POLICY)
    mine = shops.merchant(
        tmp_path, agreement=agreement, split={"validation_from": "2024-02-10", "test_from": "2024-02-20"}
    )
    print_ = mine.federation.fingerprint
    limit = Limit(8.0, 1e-6, print_)
    rounds = [
        charge(fingerprint=print_, sampling_rate=0.05, noise_multiplier=z, count=20) for z in (1.0, 2.0)
    ]
    with Ledger(tmp_path / "ledger.jsonl", durable=False) as ledger:
        for each in rounds:
            ledger.charge(each, [limit])
    told = spending(mine.config, mine.federation, tmp_path / "ledger.jsonl")
    assert told.spent == spent(read_charges(tmp_path / "ledger.jsonl"), limit)
    assert told.trainings[0].epsilon == told.spent > epsilon((e for one in rounds for e in one.events), 1e-6)
