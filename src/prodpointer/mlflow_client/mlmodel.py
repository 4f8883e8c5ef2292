"""Models that MLflow itself knows how to load, and what has to be true of one before MLflow may."""

from __future__ import annotations

import importlib
import os
from collections.abc import Collection, Iterator
from functools import lru_cache
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    SOURCE_SUFFIXES,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
    SourcelessFileLoader,
)
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import Any

from prodpointer._text import list_some
from prodpointer.errors import UnsafeModel

# Every key under which a flavor of MLflow's (2.0.1 to 3.17.2), or its input example, keeps a path, or a list of paths,
# that it joins to the directory of the model. Two are left out, because MLflow takes only the last part of what they
# name: ``model_code_path`` and a ``config`` that is text hold the path on the machine that saved the model.
_PATHS = frozenset(
    {
        "adapter_weights",
        "agent_data",
        "agent_primitive_data",
        "artifact_path",
        "code",
        "components",
        "conda",
        "data",
        "env",
        "loader_fn",
        "model_binary",
        "model_data",
        "model_path",
        "parameters_path",
        "path",
        "peft_adaptor",
        "persist_dir",
        "pickled_model",
        "python_env",
        "python_model",
        "saved_model_dir",
        "serialized_explainer",
        "serving_input_path",
        "tools_data",
        "virtualenv",
    }
)
# Weights on the machine that saved the model, which transformers takes from there: never part of what was registered.
_ELSEWHERE = "local_base_model_path"
# What stands below these is the model's own configuration, which only the model reads.
_OF_THE_MODEL = frozenset({"config", "model_config"})
_LARGEST = 1_000_000  # characters of an MLmodel file: the YAML parser takes seconds for so many
_IN_FILES = ((SourceFileLoader, SOURCE_SUFFIXES), (SourcelessFileLoader, BYTECODE_SUFFIXES))


def load_flavor(directory: Path, flavor: str, trusted: Collection[str] = ()) -> Any:
    """Return the object that ``mlflow.<flavor>.load_model`` makes of a directory with an ``MLmodel`` file.

    The file is read first, and nothing is imported unless each loader that it names is MLflow's or trusted, and each
    path in it stays inside the directory. Code that the model brings along is the registered model, as its pickle is.

    Parameters
    ----------
    directory
        A verified download.
    flavor
        ``"pyfunc"``, ``"sklearn"`` or another module of MLflow's.
    trusted
        Modules that may load the model beside MLflow's own, each with what is below it, and types that the model may
        ask skops to trust.

    Raises
    ------
    UnsafeModel
        MLflow has no such flavor, or a library that the flavor needs is not installed, or the ``MLmodel`` file asks
        for what is not trusted or cannot be read.
    """
    _check(directory, trusted)
    module = f"mlflow.{flavor}"
    if not flavor.isidentifier() or not _defines(module, "load_model"):
        raise _no_flavor(directory, flavor, module)
    try:
        load = importlib.import_module(module).load_model
    except ModuleNotFoundError as error:
        raise _no_flavor(directory, flavor, error.name or module) from None
    except AttributeError:
        raise _no_flavor(directory, flavor, module) from None
    return load(str(directory))


def _no_flavor(directory: Path, flavor: str, missing: str) -> UnsafeModel:
    """Return the error about a flavor module that is not there, or that imports what is not installed."""
    if missing.partition(".")[0] == "mlflow":
        return UnsafeModel(
            f"MLflow has no flavor {flavor!r} that can be loaded here.",
            where=str(directory),
            next_step="Give the name of a flavor module of MLflow, and install its library.",
        )
    # Both come with mlflow and not with mlflow-skinny, and pandas would be missed next.
    wanted = "numpy pandas" if missing in ("numpy", "pandas") else missing
    return UnsafeModel(
        f"The flavor {flavor!r} cannot be loaded here: {missing!r} is not installed.",
        where=str(directory),
        next_step=f"Run `pip install {wanted}` and install the model's own library, or give loader=.",
    )


def check_links(directory: Path) -> None:
    """Raise ``UnsafeModel`` if a symbolic link anywhere below ``directory`` leads out of it."""
    for link in _links(directory):
        if _leads_out(directory, link):
            raise UnsafeModel(
                f"A symbolic link in the artifact leads out of it: {link.relative_to(directory).as_posix()}.",
                where=directory.name,
                next_step="Log the file that it leads to in its place.",
            )


def _links(directory: Path) -> Iterator[Path]:
    """Yield every symbolic link below a directory, none of them followed."""
    waiting = [os.fspath(directory)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    yield Path(entry.path)
                elif entry.is_dir():
                    waiting.append(entry.path)


def _check(directory: Path, trusted: Collection[str]) -> None:
    """Raise ``UnsafeModel`` unless everything that MLflow would follow in the ``MLmodel`` file may be followed."""
    content = _content(directory)
    flavors = content.get("flavors", {})
    if not isinstance(flavors, dict):
        raise _malformed(directory, "its flavors are not a mapping")
    for key, value in _entries([*flavors.values(), content.get("saved_input_example_info")]):
        if key == "loader_module":
            _check_module(directory, value, trusted)
        elif key == "skops_trusted_types":
            _check_types(directory, value, trusted)
        elif key in _PATHS or key == _ELSEWHERE:
            _check_paths(directory, key, value)


def _content(directory: Path) -> dict[Any, Any]:
    """Return what the ``MLmodel`` file says, read as MLflow reads it, so that both see the same."""
    try:
        with (directory / "MLmodel").open() as file:
            text = file.read(_LARGEST + 1)
    except ValueError as error:  # no text
        raise _malformed(directory, f"{type(error).__name__}: {error}") from error
    if len(text) > _LARGEST:
        raise _malformed(directory, "it is larger than 1 MB")
    try:
        content = _parsed(text)
    except Exception as error:  # PyYAML's own, and what else comes up in it: AttributeError for "!!timestamp"
        raise _malformed(directory, f"{type(error).__name__}: {error}") from error
    if not isinstance(content, dict):
        raise _malformed(directory, "it is not a mapping")
    return content


@lru_cache(maxsize=32)
def _parsed(text: str) -> Any:
    """Return what a YAML text says, for reading alone: a model that is loaded again has the same text."""
    import yaml  # MLflow's own dependency

    return yaml.safe_load(text)


def _entries(content: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each key below ``content`` with its value; what a YAML anchor repeats, even inside itself, comes once."""
    waiting, seen = [content], set()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, (list, tuple)):
            waiting.extend(each)
        elif isinstance(each, dict):
            yield from each.items()
            waiting.extend(value for key, value in each.items() if key not in _OF_THE_MODEL)


def _check_module(directory: Path, module: Any, trusted: Collection[str]) -> None:
    """Raise ``UnsafeModel`` unless a module may load the model: one of MLflow's loaders, or one that is trusted.

    A module named ``__main__`` is a program, and importing MLflow's runs its command line.
    """
    parts = module.split(".") if isinstance(module, str) else [""]
    packages = {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
    if all(part.isidentifier() for part in parts) and packages & {"mlflow", *trusted}:
        if "__main__" not in parts and (parts[0] != "mlflow" or _defines(module, "_load_pyfunc")):
            return
        raise UnsafeModel(
            f"The model is to be loaded by {module!r}, which is not a loader. It was not imported.",
            where=f"{directory.name}/MLmodel",
            next_step="Log the model again with the flavor that it has, or give loader=.",
        )
    raise UnsafeModel(
        f"The model is to be loaded by {module!r}, which is not MLflow's. It was not imported.",
        where=f"{directory.name}/MLmodel",
        next_step=f"If you know that module and it may run here, name it: trusted=[{module!r}].",
    )


@lru_cache(maxsize=64)
def _defines(module: str, name: str) -> bool:
    """Tell whether a module gives a name a value when it is imported; neither it nor a package around it is."""
    first, *below = module.split(".")
    spec = find_spec(first)
    for end in range(len(below)):
        spec = _spec_in(spec, ".".join([first, *below[: end + 1]]))
    loader: Any = None if spec is None else spec.loader
    code = loader.get_code(module) if hasattr(loader, "get_code") else None
    import dis

    return code is not None and any(
        step.opname == "STORE_NAME" and step.argval == name for step in dis.get_instructions(code)
    )


def _spec_in(package: ModuleSpec | None, module: str) -> ModuleSpec | None:
    """Return what a module of a package would be imported from, or None; ``find_spec`` would import the package."""
    places = package.submodule_search_locations if package is not None else None
    found = (FileFinder(place, *_IN_FILES).find_spec(module) for place in places or ())
    return next((spec for spec in found if spec is not None), None)


def _check_types(directory: Path, types: Any, trusted: Collection[str]) -> None:
    """Raise ``UnsafeModel`` unless every type that the model asks skops to trust is trusted by the caller too."""
    named = types if isinstance(types, list) else [] if types is None else [types]
    untrusted = {str(each) for each in named if not (isinstance(each, str) and each in trusted)}
    if untrusted:
        raise UnsafeModel(
            f"The model asks to trust types that you did not name: {list_some(untrusted)}. Nothing was loaded.",
            where=f"{directory.name}/MLmodel",
            next_step="If you trust them, name them: trusted=[...].",
        )


def _check_paths(directory: Path, key: str, value: Any) -> None:
    """Raise ``UnsafeModel`` if a path leads out of the directory."""
    paths = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]
    for path in paths:
        if key == _ELSEWHERE or not _stays(directory, Path(path)):
            raise UnsafeModel(
                f"A path in the MLmodel file leads out of the model: {key}: {path}",
                where=f"{directory.name}/MLmodel",
                next_step="Log the model again with everything that it needs, or give loader=.",
            )


def _stays(directory: Path, path: Path) -> bool:
    """Tell whether a path of the ``MLmodel`` file is relative to the directory and stays inside it."""
    if path.anchor:
        return False
    # Nearly every path has no link and no ``..`` in it, and is seen to stay inside without resolving it.
    plain = ".." not in path.parts and not _links_in(directory, path)
    return plain or not _leads_out(directory, directory / path)


def _links_in(directory: Path, path: Path) -> bool:
    """Tell whether a path below the directory comes by a symbolic link."""
    ways = accumulate(path.parts, os.path.join, initial=os.fspath(directory))
    return any(map(os.path.islink, ways))


def _leads_out(directory: Path, path: Path) -> bool:
    """Tell whether a path ends outside the directory, once every link and ``..`` in it is followed."""
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(directory))


def _malformed(directory: Path, why: str) -> UnsafeModel:
    """Return the error about an ``MLmodel`` file that cannot be read."""
    return UnsafeModel(
        f"Invalid MLmodel file: {why}.",
        where=f"{directory.name}/MLmodel",
        next_step="Log the model again, or give loader=.",
    )
