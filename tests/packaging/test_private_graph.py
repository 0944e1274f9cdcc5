"""ROS domains of programs that keep to themselves: never shared, never taken from somebody who listens there."""

import multiprocessing
import socket

import pytest

from lisa_ros import private_graph
from lisa_ros.errors import ConfigurationError

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def reservations(monkeypatch):
    """Those of this test end with it."""
    kept = []
    monkeypatch.setattr(private_graph, "_RESERVATIONS", kept)
    yield kept
    for reservation in kept:
        reservation.close()


def _reserve(results, ready, done):
    results.put(private_graph.reserve_domain())
    ready.release()
    done.wait(60)


def test_programs_that_run_at_the_same_time_have_domains_of_their_own():
    context = multiprocessing.get_context("spawn")
    results, ready, done = context.Queue(), context.Semaphore(0), context.Event()
    processes = [context.Process(target=_reserve, args=(results, ready, done)) for _ in range(2)]
    for process in processes:
        process.start()
    here = [private_graph.reserve_domain() for _ in range(20)]
    for _ in processes:
        assert ready.acquire(timeout=60)
    domains = [*here, *(results.get(timeout=10) for _ in processes)]
    done.set()
    for process in processes:
        process.join(10)
    assert len(set(domains)) == len(domains) and all(1 <= domain <= 100 for domain in domains)


def test_a_domain_in_which_somebody_listens_is_left_alone_and_none_left_is_told(reservations, monkeypatch):
    listened, free = private_graph.reserve_domain(), private_graph.reserve_domain()
    for reservation in reservations:
        reservation.close()
    monkeypatch.setattr(private_graph, "_DOMAINS", (listened, free))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as participant:
        participant.bind(("", 7400 + 250 * listened + 10))
        assert private_graph.reserve_domain() == free
        with pytest.raises(ConfigurationError, match="all ROS domains"):
            private_graph.reserve_domain()
