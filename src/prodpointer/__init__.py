"""One pointer to the live version of a registered model, the same on MLflow 2 and MLflow 3.

Importing this package does not import MLflow.
"""

from prodpointer._telemetry import library_version as _version
from prodpointer.connection import DropIn, aconnect, connect, drop_in, load_production, promote, register, rollback
from prodpointer.errors import (
    AccessDenied,
    ArtifactNotFound,
    ArtifactStoreUnavailable,
    CacheWarning,
    ExpectationFailed,
    GateFailed,
    IntegrityError,
    InvalidName,
    LastKnownGoodWarning,
    LoadFailed,
    ModelNotFound,
    MoveUnconfirmed,
    NothingToRollBack,
    PointerDriftWarning,
    PointerUnsupported,
    ProdpointerError,
    PromotionLost,
    PromotionRefused,
    RegistryError,
    RegistryUnavailable,
    RegistryUnsupported,
    SchemaMismatch,
    StageOnlyWarning,
    UnsafeModel,
    UnverifiedWarning,
    VersionNotFound,
    WorkspaceNotFound,
)
from prodpointer.gates.gate import Gate
from prodpointer.pointers.alias import AliasPointer
from prodpointer.pointers.memory import MemoryPointer
from prodpointer.pointers.mirrored import MirroredPointer
from prodpointer.pointers.protocol import ProductionPointer
from prodpointer.pointers.stage import StagePointer
from prodpointer.registered_model import RegisteredModel
from prodpointer.serving.follow import Live
from prodpointer.serving.state import LiveStats, State
from prodpointer.types import Comparison, Difference, ModelVersion, PointerStatus, Promotion, Pulled, Selection, Verdict

__version__ = _version()

__all__ = [
    "AccessDenied",
    "AliasPointer",
    "ArtifactNotFound",
    "ArtifactStoreUnavailable",
    "CacheWarning",
    "Comparison",
    "Difference",
    "DropIn",
    "ExpectationFailed",
    "Gate",
    "GateFailed",
    "IntegrityError",
    "InvalidName",
    "LastKnownGoodWarning",
    "Live",
    "LiveStats",
    "LoadFailed",
    "MemoryPointer",
    "MirroredPointer",
    "ModelNotFound",
    "ModelVersion",
    "MoveUnconfirmed",
    "NothingToRollBack",
    "PointerDriftWarning",
    "PointerStatus",
    "PointerUnsupported",
    "ProdpointerError",
    "ProductionPointer",
    "Promotion",
    "PromotionLost",
    "PromotionRefused",
    "Pulled",
    "RegisteredModel",
    "RegistryError",
    "RegistryUnavailable",
    "RegistryUnsupported",
    "SchemaMismatch",
    "Selection",
    "StageOnlyWarning",
    "StagePointer",
    "State",
    "UnsafeModel",
    "UnverifiedWarning",
    "Verdict",
    "VersionNotFound",
    "WorkspaceNotFound",
    "aconnect",
    "connect",
    "drop_in",
    "load_production",
    "promote",
    "register",
    "rollback",
]


def __dir__() -> list[str]:
    """Return what is public, for those who look with ``dir`` or press the tab key."""
    return sorted((*__all__, "__version__"))
