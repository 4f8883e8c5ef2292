"""What the caller may do: told by reading, asked of one registered model, or tried on a scratch model.

MLflow's basic-auth app checks a right before it looks whether the version exists (measured: 2.9.2, 2.22.5, 3.17.2), so
a right on a model is found out by naming a version that it cannot have. Whoever makes a model may do everything with it
there, so a scratch model says what the registry can do and little of rights on models of others.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prodpointer.errors import AccessDenied, ModelNotFound, ProdpointerError, RegistryUnavailable, VersionNotFound
from prodpointer.mlflow_client.capabilities import Capabilities
from prodpointer.mlflow_client.login import wants_login
from prodpointer.mlflow_client.registry import Registry
from prodpointer.mlflow_client.rest import CONTROL_MODEL
from prodpointer.mlflow_client.uris import Place

YES = "yes"
SCRATCH = "prodpointer-doctor-"
"""How the names of scratch models begin."""

_SOURCE = "s3://prodpointer-doctor/nothing"  # stored unread by servers of 2.0.1 to 3.17.2 (measured)
_NO_VERSION = 2**31 - 1  # the largest that a database's integer holds
_REFUSAL = re.compile(r"error code (?P<status>\d{3}) != 200\. Response body: '(?P<body>[^']{0,60})")

# What fails without a right, and the permission of MLflow's basic-auth app that gives it. Measured: up to 2.22.5 all
# are rights on the model; in 3.17.2 stages and tags are rights on its versions (registered_model_version), if granted.
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
class Readable:
    """What reading alone tells: the models that can be listed, and how the registry treats who asks.

    ``login`` says whether a login is wanted, None where that is not known. ``hides`` says whether the registry refuses
    to say that a model does not exist, ``unlisted`` why the models cannot be listed.
    """

    names: tuple[str, ...]
    login: bool | None
    hides: bool
    unlisted: str
    place: Place

    @property
    def shown(self) -> str:
        """Return it as one sentence."""
        if self.place is Place.DATABASE:
            return "A database opened directly has no permissions: every process that can open it can do everything."
        login = {True: "a login is wanted, and this one taken", False: "no login is wanted", None: "login not known"}
        listed = "models cannot be listed" if self.unlisted else f"models that can be read: {len(self.names)}"
        return f"{login[self.login]}; {listed}"

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what will surprise."""
        hidden = "A missing model is AccessDenied here, not ModelNotFound: see `prodpointer status`."
        unlisted = f"Models cannot be listed ({self.unlisted}): name them, as in `prodpointer status NAME`."
        return (*([hidden] if self.hides else []), *([unlisted] if self.unlisted else []))


@dataclass(frozen=True)
class Rights:
    """What was found out about rights on one model: an answer for each right, in the order they were asked.

    ``subject`` is how the model is spoken of. ``left`` says what could not be removed again and how to do it,
    ``failure`` why the questions ended early.
    """

    subject: str
    answers: Mapping[str, str]
    left: ProdpointerError | None
    failure: ProdpointerError | None

    @property
    def of_scratch(self) -> bool:
        """Whether this is about a model that was made for the purpose."""
        return "create a model" in self.answers

    @property
    def shown(self) -> tuple[str, ...]:
        """Return one line for each different answer."""
        grouped: dict[str, list[str]] = {}
        for right, answer in self.answers.items():
            grouped.setdefault(answer, []).append(right)
        return tuple(f"{self.subject}, {answer}: {', '.join(rights)}" for answer, rights in grouped.items())

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what was left behind, and what prodpointer cannot do without the rights that are refused."""
        refused = [right for right, answer in self.answers.items() if answer.startswith("no (")]
        denied = [f"You may not {right} ({self.subject}): {_NEEDED_FOR[right]}" for right in refused]
        return (*(str(error) for error in self.errors), *denied)

    @property
    def errors(self) -> tuple[ProdpointerError, ...]:
        """Return what was left behind and what ended the questions early."""
        return tuple(error for error in (self.left, self.failure) if error)


def readable(registry: Registry, *, timeout: float) -> Readable:
    """Return what reading tells; nothing is written.

    Raises
    ------
    ProdpointerError
        Nothing at all can be read: a refused Host header, a login that is not taken, no connection.
    """
    hides, unlisted, names = _hides(registry), "", []
    try:
        names = registry.names()
    except RegistryUnavailable:
        raise
    except ProdpointerError as error:
        if hides:
            raise
        unlisted = _reason(error)
    login = wants_login(registry.addresses, timeout=timeout) if registry.place is Place.SERVER else None
    return Readable(tuple(names), login, hides, unlisted, registry.place)


def _hides(registry: Registry) -> bool:
    """Tell whether the registry refuses to say that a model does not exist, as it does where nobody is let in."""
    if registry.place is Place.UNITY_CATALOG:  # has no models without a catalog and a schema
        return False
    try:
        registry.model(CONTROL_MODEL)
    except AccessDenied:  # where nothing is allowed unless it is granted (measured: 2.9.2, 2.22.5, 3.17.2)
        return True
    except ModelNotFound:
        pass
    return False


def asked(registry: Registry, found: Capabilities, model: str) -> Rights:
    """Return what the caller may do with an existing model, by requests that cannot change it.

    They name a version that it cannot have, and an alias that nobody has set.
    """
    trial = _Trial(registry, found, model, f"on {model!r}", {})
    trial.answered(trial.on_existing)
    return trial.rights()


def tried(registry: Registry, found: Capabilities) -> Rights:
    """Return what the caller may do with a model of one's own: one is made, and removed whatever happens.

    Raises
    ------
    ProdpointerError
        It was interrupted and the scratch model is still there; the text names it and how to remove it.
    """
    name = f"{SCRATCH}{uuid.uuid4().hex[:12]}"
    trial = _Trial(registry, found, name, "on a scratch model", {})
    if registry.place is Place.UNITY_CATALOG:
        trial.skip("no catalog and schema were given", "create a model", "create a version")
        return trial.rights()
    try:
        trial.answered(trial.on_scratch)
    except BaseException as stopped:  # an interruption too leaves no scratch model behind
        if left := trial.remove():
            raise left from stopped
        raise
    return trial.rights(trial.remove())


@dataclass
class _Trial:
    """Questions to one model and the answers so far."""

    registry: Registry
    found: Capabilities
    model: str
    subject: str
    answers: dict[str, str]
    failure: ProdpointerError | None = None

    def rights(self, left: ProdpointerError | None = None) -> Rights:
        """Return what was found out."""
        return Rights(self.subject, dict(self.answers), left, self.failure)

    def answered(self, questions: Callable[[], None]) -> None:
        """Ask, and note where the connection was lost on the way."""
        try:
            questions()
        except RegistryUnavailable as error:
            self.failure = error
            self.skip("no connection")

    def ask(
        self, right: str, attempt: Callable[[], object], *, known_missing: tuple[type[ProdpointerError], ...] = ()
    ) -> bool:
        """Note whether an attempt is allowed; ``known_missing`` are the errors that only who has the right gets."""
        try:
            attempt()
        except known_missing:
            pass
        except RegistryUnavailable:
            raise
        except AccessDenied as refusal:
            self.answers[right] = f"no ({_reason(refusal)})"
            return False
        except ProdpointerError as error:
            self.answers[right] = f"not known ({_reason(error)})"
            return False
        self.answers[right] = YES
        return True

    def on_existing(self) -> None:
        """Ask by requests that cannot change the model."""
        if self.ask("read", lambda: self.registry.model(self.model)):
            self.moves(_NO_VERSION, known_missing=(VersionNotFound,))
        else:
            self.skip("it cannot be read")

    def on_scratch(self) -> None:
        """Make the scratch model and a version of it, and try every move."""
        if not self.ask("create a model", lambda: self.registry.create_model(self.model)):
            self.skip("no scratch model", "create a version")
            return
        made: list[int] = []
        if self.ask("create a version", lambda: made.append(self._version())):
            self.moves(made[0])
        else:
            self.skip("no version")

    def _version(self) -> int:
        """Make a version without any bytes."""
        return self.registry.create_version(self.model, _SOURCE, run_id=None, model_id=None, tags={})

    def moves(self, version: int, *, known_missing: tuple[type[ProdpointerError], ...] = ()) -> None:
        """Try every move of a pointer to a version, and the tag that records one."""
        registry, model, alias = self.registry, self.model, f"{SCRATCH}{uuid.uuid4().hex[:12]}"
        self.ask(
            "tag a version",
            lambda: registry.tag_version(model, version, f"{SCRATCH}tag", "1"),
            known_missing=known_missing,
        )
        if self.found.aliases:
            self.ask("set an alias", lambda: registry.set_alias(model, alias, version), known_missing=known_missing)
            self.ask("delete an alias", lambda: registry.delete_alias(model, alias))
        if self.found.stages:
            stage = "Staging"
            self.ask("move a stage", lambda: registry.move_to_stage(model, version, stage), known_missing=known_missing)
        self.skip("there are none")

    def skip(self, why: str, *rights: str) -> None:
        """Note what was not tried: the rights named and every move of which nothing is known."""
        for right in (*rights, *_MOVES):
            self.answers.setdefault(right, f"not tried ({why})")

    def remove(self) -> ProdpointerError | None:
        """Remove the scratch model, and return the error for one that could not be removed."""
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
                f"The scratch model {self.model} could not be removed ({why}).",
                where=self.registry.addresses.shown,
                next_step="Whoever may, remove it: "
                f'python -c "import mlflow; mlflow.MlflowClient().delete_registered_model({self.model!r})"',
            )
        self.answers["delete a model"] = YES
        return None


def _reason(error: ProdpointerError | KeyboardInterrupt) -> str:
    """Return the server's own words, cut short."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    said = _REFUSAL.search(error.what)
    if said:
        return f"HTTP {said['status']}: {' '.join(said['body'].split())}"
    return error.what if len(error.what) <= 100 else error.what[:97] + "..."
