"""What ``doctor`` tells of a server: what there is, what was chosen and why, and what will not work in this pair."""

from __future__ import annotations

from prodpointer.diagnosis import diagnose
from tests.conformance.conftest import HAS_ALIASES, IS_THREE, RELEASE, Registry
from tests.proxy import Answer, Proxy, on_path

HERE = ".".join(map(str, RELEASE))


def telling(between: Proxy, version: str | None) -> str:
    """Let the server tell another version, or none, and return the address."""
    answer = Answer(404, b"", "text/html") if version is None else Answer(200, version.encode(), "text/plain")
    between.when(on_path("/version"), answer)
    return between.uri


def test_a_server_of_the_clients_version_is_told_as_it_is(served: Registry, forgetful: None) -> None:
    """Both versions, the pointer of a new model and the reason; before aliases it says so."""
    found = diagnose(tracking_uri=served.uri, registry_uri=None)
    assert (found.client_version, found.registry_version, found.exit_code) == (HERE, HERE, 0)
    assert found.pointer == ("alias" if IS_THREE else "stage")
    assert HERE in found.reason
    assert len(found.problems) == (0 if HAS_ALIASES else 1)


def test_a_server_before_aliases_is_said_to_have_none(between: Proxy) -> None:
    """On a server of 2.2.2 stages are used, and the alias asked for is a problem by name."""
    uri = telling(between, "2.2.2")
    assert any("no aliases" in problem for problem in diagnose(tracking_uri=uri, registry_uri=None).problems)
    asked = diagnose(tracking_uri=uri, registry_uri=None, pointer="alias")
    assert any("There are no aliases here" in problem for problem in asked.problems)


def test_what_an_older_server_cannot_do_for_this_client_is_told(between: Proxy) -> None:
    """log_model of MLflow 3 on MLflow 2, the empty list of clients from 2.21 on, and aliases over REST before 2.3."""
    problems = " ".join(diagnose(tracking_uri=telling(between, "2.9.2"), registry_uri=None).problems)
    assert ("log_model" in problems) == IS_THREE
    assert ("search_registered_models" in problems) == (RELEASE >= (2, 21, 0))
    assert ("uses REST" in problems) == (not HAS_ALIASES)


def test_a_server_that_does_not_tell_its_version_is_said_to(between: Proxy) -> None:
    """Without a version the limits are not known, and doctor says that too."""
    found = diagnose(tracking_uri=telling(between, None), registry_uri=None)
    assert found.registry_version is None
    assert any("does not tell its version" in problem for problem in found.problems)


def test_a_server_that_refuses_all_but_its_version_is_found_out(between: Proxy) -> None:
    """A refused Host header leaves /version open: doctor asks one question of the registry itself."""
    between.when(on_path("/api/"), Answer(403, b"Invalid Host header", "text/plain"))
    found = diagnose(tracking_uri=between.uri, registry_uri=None)
    assert (found.pointer, found.exit_code) == (None, 1)
    assert any("access denied" in problem for problem in found.problems)


def test_a_registry_out_of_reach_is_a_finding(between: Proxy) -> None:
    """Nothing listens: the exit code is that of an unavailable registry, and nothing is raised."""
    uri = between.uri
    between.refuse()
    found = diagnose(tracking_uri=uri, registry_uri=None)
    assert (found.pointer, found.exit_code) == (None, 5)
