"""What a SuperNode writes is told in words; the texts here are copies of what Flower 1.41 writes."""

from pathlib import Path

import pytest

from client.node_log import Reachability, endings, is_connected
from shared_model.processes import explained

ADDRESS = "market.example:8443"
START = "INFO :      Starting Flower SuperNode\nINFO:     Uvicorn running on http://127.0.0.1:48094\n"
CONNECTED = "INFO :      SuperNode ID: 11226343602651776167\n"
END = "INFO:     Shutting down\nINFO:     Finished server process [7254]\n"


def failed(why: str) -> str:
    return (
        f"{START}\033[91mERROR \033[0m:     Exit Code: 305\n"
        f"Failed to initialize the connection to the SuperLink.\n{why}\n"
        f"The SuperNode could not establish a connection to the SuperLink.\n\n{END}"
    )


def untrusted(why: str) -> str:
    return failed(f"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {why} (_ssl.c:1006)").replace(
        "Exit Code", "SSL/TLS handshake error detected.\nERROR : Exit Code"
    )


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (failed("[code: 2004] Failed to activate SuperNode."), "is not enrolled"),
        (untrusted("certificate has expired"), "certificate has expired"),
        (untrusted("certificate is not yet valid"), "the clock of this machine"),
        (
            untrusted("Hostname mismatch, certificate is not valid for 'market.example'."),
            "not made for market.example",
        ),
        (untrusted("unable to get local issuer certificate"), "not signed by the authority"),
        (untrusted("self-signed certificate in certificate chain"), "not signed by the authority"),
        (untrusted("CA cert does not include key usage extension"), "cannot be trusted"),
        (failed("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"), "does not speak TLS"),
        (
            failed("[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol").replace(
                "Exit Code", "SSL/TLS handshake error detected.\nExit Code"
            ),
            "cut while it was being secured",
        ),
        (failed("Client error '429 Too Many Requests'"), f"no connection to {ADDRESS}"),
        (START + "INFO :      SuperNode terminated gracefully.\n" + END, "more than five minutes apart"),
        (START + CONNECTED + "INFO :      SuperNode terminated gracefully.\n" + END, "was withdrawn"),
        (
            "ERROR:    [Errno 98] error while attempting to bind on address ('127.0.0.1', 1): "
            "address already in use",
            "connect.runtime_port",
        ),
        ("ERROR : Exit Code: 302\nUnable to parse the private key file.", "connect.node_key"),
        ("ERROR : Exit Code: 606\nRuntime version mismatch.", "another version of Flower"),
    ],
)
def test_an_exit_is_explained(output: str, said: str) -> None:
    assert said in explained(output, 1, endings(ADDRESS)).reason


def test_a_node_that_was_refused_waits_until_the_coordinator_forgets_the_one_before() -> None:
    assert explained(failed("[code: 2004]"), 1, endings(ADDRESS)).delay_seconds == 15.0


def test_an_unknown_exit_shows_its_last_line() -> None:
    assert "no such option" in explained("usage: ...\nno such option\n", 2, endings(ADDRESS)).reason


# --- connected, lost, back -------------------------------------------------------------------------------


def test_a_node_is_connected_once_it_has_its_number(tmp_path: Path) -> None:
    log = tmp_path / "node.log"
    assert not is_connected(log)
    log.write_text(START)
    assert not is_connected(log)
    log.write_text(START + CONNECTED)
    assert is_connected(log)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def reach(tmp_path: Path, said: list[str]) -> Reachability:
    return Reachability(tmp_path / "node.log", "127.0.0.1:8443", said.append)


FAILED = "WARNING :   Connection attempt failed, retrying in 0.94 seconds\n"
BACK = "INFO :      Connection successful after 21.40 seconds and 6 tries.\n"


def write(tmp_path: Path, text: str) -> None:
    with (tmp_path / "node.log").open("a") as file:
        file.write(text)


def test_a_coordinator_that_does_not_answer_is_told_once(
    tmp_path: Path, reach: Reachability, said: list[str]
) -> None:
    write(tmp_path, START + CONNECTED)
    for _ in range(9):
        write(tmp_path, FAILED)
        reach.look()
    assert said == ["127.0.0.1:8443 does not answer; trying on"]


def test_its_return_is_told_once(tmp_path: Path, reach: Reachability, said: list[str]) -> None:
    write(tmp_path, START + 5 * FAILED + BACK)
    reach.look()
    reach.look()
    assert said[1:] == ["127.0.0.1:8443 answers again"]


def test_one_failed_attempt_is_not_worth_a_word(tmp_path: Path, reach: Reachability, said: list[str]) -> None:
    write(tmp_path, START + CONNECTED + 2 * (FAILED + BACK))
    reach.look()
    assert said == []


def test_a_new_log_is_read_from_its_beginning(tmp_path: Path, reach: Reachability, said: list[str]) -> None:
    write(tmp_path, START + 2 * FAILED)
    reach.look()
    (tmp_path / "node.log").rename(tmp_path / "node.log.1")
    write(tmp_path, 3 * FAILED)
    reach.look()
    assert len(said) == 1


def test_half_a_line_is_read_when_it_is_whole(tmp_path: Path, reach: Reachability, said: list[str]) -> None:
    write(tmp_path, 2 * FAILED + FAILED[:20])
    reach.look()
    assert said == []
    write(tmp_path, FAILED[20:])
    reach.look()
    assert len(said) == 1


def test_a_log_that_is_not_there_yet_is_no_trouble(reach: Reachability, said: list[str]) -> None:
    reach.look()
    assert said == []


def test_a_name_that_nobody_knows_is_told_as_such(tmp_path: Path, said: list[str]) -> None:
    write(tmp_path, 3 * FAILED)
    Reachability(tmp_path / "node.log", "market.invalid:8443", said.append).look()
    assert "no machine is known under the name market.invalid" in said[0]
