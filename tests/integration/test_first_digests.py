"""The digest that this machine verified first, and the effect of ``adopt`` with cached bytes."""

from __future__ import annotations

import gc
import pickle
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import prodpointer
from prodpointer import IntegrityError, RegisteredModel, RegistryUnavailable
from tests.integration.conftest import Lab, quiet

DIGEST = "prodpointer.sha256"


@dataclass(frozen=True)
class Served:
    """A live version of one pickle, the cache of a machine that loads it, and what someone may write elsewhere."""

    lab: Lab
    model: RegisteredModel
    file: Path
    cache: Path

    def exchange(self, *, digest: bool) -> None:
        """Put other bytes in the store, and let the registry record them, or nothing at all."""
        self.file.write_bytes(pickle.dumps("exchanged"))
        version = self.lab.client.get_model_version(self.model.name, "1")
        for key in [key for key in version.tags if key.startswith("prodpointer.")]:
            self.lab.client.delete_model_version_tag(self.model.name, "1", key)
        if digest:
            other = self.lab.model(f"{self.model.name}-other", 0)
            recorded = other.version(other.register(version.run_id, "bundle")).sha256
            self.lab.client.set_model_version_tag(self.model.name, "1", DIGEST, recorded)

    def evict(self) -> None:
        """Remove the bytes, as the cache does if space is short."""
        for entry in list(self.cache.rglob("entry.json")):
            shutil.rmtree(entry.parent)


@pytest.fixture
def served(lab: Lab, name: str, tmp_path: Path) -> Served:
    """Load a version once."""
    model = lab.model(name, cache_dir=tmp_path / "cache")
    model.promote(1)
    assert model.load_production() == {"n": 1}
    run_id = model.version(1).run_id
    assert run_id is not None
    return Served(lab, model, lab.artifact(run_id, "bundle/model.pkl"), tmp_path / "cache")


@pytest.fixture
def elsewhere(lab: Lab, name: str, tmp_path: Path) -> RegisteredModel:
    """A live version that plain MLflow registered, loaded once."""
    run_id = lab.run({"bundle/model.pkl": pickle.dumps({"n": 1})})
    lab.client.create_registered_model(name)
    lab.client.create_model_version(name, f"{lab.client.get_run(run_id).info.artifact_uri}/bundle", run_id)
    model = prodpointer.connect(name, tracking_uri=lab.uri, cache_dir=tmp_path / "cache")
    with quiet():
        model.promote(1)
        model.load_production()
    return model


@pytest.mark.parametrize("evicted", [True, False])
@pytest.mark.parametrize("digest", [True, False])
def test_a_version_that_is_rewritten_with_all_its_records_is_noticed(
    digest: bool, evicted: bool, served: Served, tmp_path: Path
) -> None:
    """Bytes, tag and event rewritten together, or emptied, are not loaded by a machine that knows the version."""
    served.exchange(digest=digest)
    if evicted:
        served.evict()
    said = "is [0-9a-f]{64} now" if digest else "was removed"
    with pytest.raises(IntegrityError, match=f"recorded digest of version 1 .* {said}.*Nothing was loaded"):
        served.model.pull(tmp_path / "pulled")
    with pytest.raises(IntegrityError):
        served.model.load_production()
    assert not (tmp_path / "pulled").exists()


def test_the_first_digest_is_recorded_again_by_adopting(served: Served) -> None:
    """A digest that was removed can be recorded once more, and the version loads."""
    digest = served.model.version(1).sha256
    served.lab.client.delete_model_version_tag(served.model.name, "1", DIGEST)
    assert served.model.adopt(1) == digest
    assert served.model.version(1).sha256 == digest
    assert served.model.load_production(verify="required") == {"n": 1}


def test_a_damaged_note_of_the_first_digest_is_replaced_by_adopting(served: Served) -> None:
    """The version's tags are not accused, and the way on that the error names is one."""
    (note,) = served.cache.rglob("1.first")
    note.write_bytes(b"\xff\xfe junk")
    with pytest.raises(IntegrityError, match=f"is damaged.*prodpointer adopt {served.model.name} 1"):
        served.model.load_production()
    assert served.model.adopt(1) == served.model.version(1).sha256
    assert served.model.load_production(verify="required") == {"n": 1}


def test_bytes_that_were_exchanged_are_not_adopted(served: Served) -> None:
    """Where the digest was removed and the bytes were exchanged, those are not what was verified first."""
    served.exchange(digest=False)
    served.evict()
    with pytest.raises(IntegrityError, match="not those registered"):
        served.model.adopt(1)


def test_a_model_that_is_made_again_has_other_bytes(served: Served, lab: Lab) -> None:
    """Version 1 of a model that was deleted and made again is another version."""
    lab.client.delete_registered_model(served.model.name)
    run_id = lab.run({"bundle/model.pkl": pickle.dumps("again")})
    served.model.promote(served.model.register(run_id, "bundle"))
    assert served.model.load_production() == "again"


def test_adopting_a_version_that_is_here_counts_at_once(elsewhere: RegisteredModel, lab: Lab, tmp_path: Path) -> None:
    """The digest is that of the pulled bytes, and last-known-good may demand it, before another load."""
    digest = elsewhere.adopt(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pulled = elsewhere.pull(tmp_path / "pulled", verify="required")
    assert pulled is not None
    assert pulled.sha256 == digest


def test_last_known_good_may_demand_an_adopted_digest(elsewhere: RegisteredModel) -> None:
    """Where the registry falls silent right after, the bytes that were here before count as recorded."""
    elsewhere.adopt(1)
    failure = RegistryUnavailable("No answer.")
    with quiet():
        elsewhere._note_outage(failure)  # noqa: SLF001  # as connect does
        assert elsewhere.load_production(verify="required", on_unavailable="last-known-good") == {"n": 1}


def test_a_digest_that_another_machine_adopted_counts(elsewhere: RegisteredModel, lab: Lab, tmp_path: Path) -> None:
    """A digest that was recorded after the bytes came is taken along by the next use."""
    other = prodpointer.connect(elsewhere.name, tracking_uri=lab.uri, cache_dir=tmp_path / "other")
    digest = other.adopt(1)
    for place in ("one", "two"):
        pulled = elsewhere.pull(tmp_path / place)
        assert pulled is not None
        assert pulled.sha256 == digest


@pytest.fixture
def flavored(lab: Lab, name: str) -> RegisteredModel:
    """A live version with an ``MLmodel`` file."""
    files = {"model/MLmodel": yaml.safe_dump({"flavors": {}}).encode(), "model/data.txt": b"data"}
    model = lab.model(name, 0)
    model.promote(model.register(lab.run(files), "model"))
    return model


def loaded_as_dict(path: Path) -> dict[str, Any]:
    """Load a model as an object that has no weak references."""
    return {"data": (path / "data.txt").read_text()}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_loads_leave_no_file_open(flavored: RegisteredModel) -> None:
    """However often a model is loaded, nothing stays open but what an object still needs."""
    flavored.load_production(loaded_as_dict)
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    models = [flavored.load_production(loaded_as_dict) for _ in range(10)]
    assert [model["data"] for model in models] == ["data"] * 10
    assert len(list(Path("/proc/self/fd").iterdir())) == before
