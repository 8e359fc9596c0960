from simulations.benchmarks import hop


def test_a_hop_through_the_agents_socket_takes_time() -> None:
    assert 0 < hop.measured(numbers=2000, calls=3).seconds < 1


def test_the_hop_is_measured_at_the_end_that_takes_more_memory(monkeypatch) -> None:
    cost = hop.Cost(seconds=0.5, caller=0.25, agent=1.25)
    monkeypatch.setattr(hop, "measured", lambda **_: cost)
    assert {r.id: (r.value, r.target) for r in hop.run()} == {
        "deployment.hop_s": (0.5, 1.0),
        "deployment.hop_copies": (1.25, 1.5),
    }
