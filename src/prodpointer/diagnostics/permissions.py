"""The caller's permissions: by reading, by harmless requests to one registered model, or on a scratch model.

MLflow's basic-auth app checks a permission before it checks that the version exists (measured: 2.9.2, 2.22.5, 3.17.2),
so a permission on a model is probed by naming a version that cannot exist. There, the creator of a model has every
permission on it: a scratch model shows what the registry supports, not the permissions on models of other users.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prodpointer.errors import (
    AccessDenied,
    ModelNotFound,
    ProdpointerError,
    RegistryUnavailable,
    VersionNotFound,
)
from prodpointer.mlflow_client import CONTROL_MODEL, Capabilities, Place, Registry

YES = "yes"
SCRATCH = "prodpointer-doctor-"
"""Prefix of the names of scratch models."""

_SOURCE = "s3://prodpointer-doctor/nothing"  # stored unread by servers of 2.0.1 to 3.17.2 (measured)
_NO_VERSION = 2**31 - 1  # the largest integer that a database column holds
_REFUSAL = re.compile(r"error code (?P<status>\d{3}) != 200\. Response body: '(?P<body>[^']{0,60})")

# What fails without a permission, and the level of MLflow's basic-auth app that grants it. Measured: up to 2.22.5 all
# are permissions on the model; in 3.17.2 stages and tags are permissions on its versions (registered_model_version).
_NEEDED_FOR: Mapping[str, str] = {
    "read": "every verb fails (READ gives it).",
    "create a model": "register of a new model fails.",
    "create a version": "register fails (EDIT gives it).",
    "tag a version": "promote, rollback and withdraw fail (EDIT, versions too).",
    "set an alias": "promote by alias fails (EDIT gives it).",
    "delete an alias": "withdraw by alias fails (MANAGE gives it).",
    "move a stage": "promote and withdraw by stage fail (EDIT, versions too).",
    "delete a model": "doctor --try cannot clean up (MANAGE, versions too).",
}
_MOVES = ("tag a version", "set an alias", "delete an alias", "move a stage")


@dataclass(frozen=True)
class ReadAccess:
    """What reading alone shows: the models that can be listed, and how the registry treats the caller.

    ``login`` says whether the server requires a login, None if unknown. ``hides`` says whether it answers "permission
    denied" for a missing model, ``unlisted`` why the models cannot be listed.
    """

    names: tuple[str, ...]
    login: bool | None
    hides: bool
    unlisted: str
    place: Place

    @property
    def shown(self) -> str:
        """Return one sentence about it."""
        if self.place is Place.DATABASE:
            return "A database opened directly has no permissions: every process that can open it can do everything."
        login = {True: "login required and accepted", False: "no login required", None: "login unknown"}
        listed = "models cannot be listed" if self.unlisted else f"readable models: {len(self.names)}"
        return f"{login[self.login]}; {listed}"

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what does not work."""
        unlisted = f"Models cannot be listed ({self.unlisted}): name them: `prodpointer status NAME`."
        return (unlisted,) if self.unlisted else ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Return how the registry answers where a caller would expect another answer."""
        hidden = "A missing model raises AccessDenied here, not ModelNotFound: see `prodpointer status`."
        return (hidden,) if self.hides else ()


@dataclass(frozen=True)
class Permissions:
    """The permissions on one model: an answer for each, in the order in which they were probed.

    ``subject`` is how the output names the model. ``left`` says what could not be deleted and how to delete it,
    ``failure`` why the probe ended early, ``missing`` that there is no such model.
    """

    subject: str
    answers: Mapping[str, str]
    left: ProdpointerError | None
    failure: ProdpointerError | None
    missing: ProdpointerError | None = None

    @property
    def of_scratch(self) -> bool:
        """Whether this is about a scratch model."""
        return "create a model" in self.answers

    @property
    def shown(self) -> tuple[str, ...]:
        """Return one line for each different answer."""
        grouped: dict[str, list[str]] = {}
        for permission, answer in self.answers.items():
            grouped.setdefault(answer, []).append(permission)
        return tuple(f"{self.subject}, {answer}: {', '.join(which)}" for answer, which in grouped.items())

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what could not be deleted, and what fails without the missing permissions."""
        refused = [permission for permission, answer in self.answers.items() if answer.startswith("no (")]
        denied = [f"You may not {permission} ({self.subject}): {_NEEDED_FOR[permission]}" for permission in refused]
        return (*(str(error) for error in self.errors), *denied)

    @property
    def errors(self) -> tuple[ProdpointerError, ...]:
        """Return what could not be deleted, what ended the probe early, and that the model does not exist."""
        return tuple(error for error in (self.left, self.failure, self.missing) if error)


def probe_read_access(registry: Registry) -> ReadAccess:
    """Return what reading shows; nothing is written.

    Raises
    ------
    ProdpointerError
        Nothing can be read: the Host header or the login is refused, or there is no connection.
    """
    hides, unlisted, names = _hides_missing_models(registry), "", []
    try:
        names = registry.names()
    except RegistryUnavailable:
        raise
    except ProdpointerError as error:
        if hides:
            raise
        unlisted = _reason(error)
    login = registry.rest.wants_login() if registry.rest and registry.place is Place.SERVER else None
    return ReadAccess(tuple(names), login, hides, unlisted, registry.place)


def _hides_missing_models(registry: Registry) -> bool:
    """Return whether the registry answers "permission denied" for a model that does not exist."""
    if registry.place is Place.UNITY_CATALOG:  # its models need a catalog and a schema
        return False
    try:
        registry.model(CONTROL_MODEL)
    except AccessDenied:  # servers whose default permission is none (measured: 2.9.2, 2.22.5, 3.17.2)
        return True
    except ModelNotFound:
        pass
    return False


def probe_model(registry: Registry, found: Capabilities, model: str) -> Permissions:
    """Return the caller's permissions on an existing model, by requests that cannot change it.

    They name a version that cannot exist, and a random alias.
    """
    probe = _Probe(registry, found, model, f"on {model!r}", {})
    probe.run(probe.on_existing_model)
    return probe.permissions()


def probe_scratch_model(registry: Registry, found: Capabilities) -> Permissions:
    """Return the caller's permissions on a scratch model, which is created here and deleted whatever happens.

    Raises
    ------
    ProdpointerError
        It was interrupted and the scratch model could not be deleted; the text names it and how to delete it.
    """
    name = f"{SCRATCH}{uuid.uuid4().hex[:12]}"
    probe = _Probe(registry, found, name, "on a scratch model", {})
    if registry.place is Place.UNITY_CATALOG:
        probe.skip("no catalog and schema given", "create a model", "create a version")
        return probe.permissions()
    try:
        probe.run(probe.on_scratch_model)
    except BaseException as interruption:  # delete the scratch model after an interruption too
        if left := probe.remove():
            raise left from interruption
        raise
    return probe.permissions(probe.remove())


@dataclass
class _Probe:
    """Requests to one model and the answers so far."""

    registry: Registry
    found: Capabilities
    model: str
    subject: str
    answers: dict[str, str]
    failure: ProdpointerError | None = None
    missing: ProdpointerError | None = None

    def permissions(self, left: ProdpointerError | None = None) -> Permissions:
        """Return the permissions found."""
        return Permissions(self.subject, dict(self.answers), left, self.failure, self.missing)

    def run(self, requests: Callable[[], None]) -> None:
        """Send the requests; record a lost connection."""
        try:
            requests()
        except RegistryUnavailable as error:
            self.failure = error
            self.skip("no connection")

    def check(
        self, permission: str, attempt: Callable[[], object], *, allowed: tuple[type[ProdpointerError], ...] = ()
    ) -> bool:
        """Record whether an attempt is permitted; ``allowed`` are errors raised only after the permission check."""
        try:
            attempt()
        except allowed:
            pass
        except RegistryUnavailable:
            raise
        except AccessDenied as refusal:
            self.answers[permission] = f"no ({_reason(refusal)})"
            return False
        except ProdpointerError as error:
            self.answers[permission] = f"unknown ({_reason(error)})"
            return False
        self.answers[permission] = YES
        return True

    def on_existing_model(self) -> None:
        """Send requests that cannot change the model."""
        if self.check("read", self._read):
            self.check_moves(_NO_VERSION, allowed=(VersionNotFound,))
        else:
            self.skip("it cannot be read")

    def _read(self) -> None:
        """Read the model; note that there is none."""
        try:
            self.registry.model(self.model)
        except ModelNotFound as error:
            self.missing = ModelNotFound(
                error.what, where=error.where, next_step="`prodpointer status` lists the models: check the name."
            )
            raise

    def on_scratch_model(self) -> None:
        """Create the scratch model and a version of it, and try every move."""
        if not self.check("create a model", lambda: self.registry.create_model(self.model)):
            self.skip("no scratch model", "create a version")
            return
        made: list[int] = []
        if self.check("create a version", lambda: made.append(self._version())):
            self.check_moves(made[0])
        else:
            self.skip("no version")

    def _version(self) -> int:
        """Create a version without an artifact."""
        return self.registry.create_version(self.model, _SOURCE, run_id=None, model_id=None, tags={})

    def check_moves(self, version: int, *, allowed: tuple[type[ProdpointerError], ...] = ()) -> None:
        """Try to move each pointer to a version, and to tag the version."""
        registry, model, alias = self.registry, self.model, f"{SCRATCH}{uuid.uuid4().hex[:12]}"
        self.check(
            "tag a version",
            lambda: registry.tag_version(model, version, f"{SCRATCH}tag", "1"),
            allowed=allowed,
        )
        if self.found.aliases:
            self.check("set an alias", lambda: registry.set_alias(model, alias, version), allowed=allowed)
            self.check("delete an alias", lambda: registry.delete_alias(model, alias))
        if self.found.stages:
            stage = "Staging"
            self.check("move a stage", lambda: registry.move_to_stage(model, version, stage), allowed=allowed)
        self.skip("not supported")

    def skip(self, why: str, *permissions: str) -> None:
        """Record what was not tried: the given permissions, and every move without an answer."""
        for permission in (*permissions, *_MOVES):
            self.answers.setdefault(permission, f"not tried ({why})")

    def remove(self) -> ProdpointerError | None:
        """Delete the scratch model, and return the error if that fails."""
        if self.answers.get("create a model", YES).startswith("no ("):
            return None
        try:
            self.registry.delete_model(self.model)
        except ModelNotFound:
            return None
        except (ProdpointerError, KeyboardInterrupt) as error:  # interrupted a second time
            why = _reason(error)
            self.answers["delete a model"] = f"no ({why})"
            return ProdpointerError(
                f"The scratch model {self.model} could not be deleted ({why}).",
                where=self.registry.addresses.shown,
                next_step="Delete it with an account that may: "
                f'python -c "import mlflow; mlflow.MlflowClient().delete_registered_model({self.model!r})"',
            )
        self.answers["delete a model"] = YES
        return None


def _reason(error: ProdpointerError | KeyboardInterrupt) -> str:
    """Return the server's own message, shortened."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    said = _REFUSAL.search(error.what)
    if said:
        return f"HTTP {said['status']}: {' '.join(said['body'].split())}"
    return error.what if len(error.what) <= 100 else error.what[:97] + "..."
