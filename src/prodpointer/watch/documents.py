"""An event as it is sent: one JSON document, and the same as a CloudEvent.

Names and values here are part of the contract with receivers: keys are only added.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from prodpointer.types import Promotion

SCHEMA_VERSION = 1
TYPE_PREFIX = "io.github.prodpointer.move."
"""How the type of each CloudEvent begins; the state follows: ``done``, ``lost`` or ``refused``."""


def source_of(identity: str, workspace: str | None) -> str:
    """Return the CloudEvents source of a registry: its address as a URI reference, with the workspace as fragment."""
    address = identity if workspace is None else identity.removesuffix(f" workspace {workspace}")
    source = quote(address, safe="/:@?=&+,;%~()[]*!$'")
    return source if workspace is None else f"{source}#workspace={quote(workspace, safe='')}"


def event_id(source: str, event: Promotion, created_at: datetime | None, key: str) -> str:
    """Return the id of an event: the same for the same event whenever and wherever it is found.

    Parameters
    ----------
    source
        The registry.
    event
        The event.
    created_at
        When the model was created, which tells it from a deleted one of the same name.
    key
        What tells the event from every other one of its pointer.
    """
    created = None if created_at is None else round(created_at.timestamp() * 1000)
    parts = json.dumps([source, event.name, created, event.alias, key])
    return f"evt_{hashlib.sha256(parts.encode()).hexdigest()[:32]}"


def document_of(event: Promotion, event_id: str, registry: str) -> dict[str, Any]:
    """Return an event as every receiver gets it: what ``history --json`` prints, with its id and its registry."""
    return {"schema_version": SCHEMA_VERSION, "id": event_id, "registry": registry, **event.as_json()}


def attributes_of(document: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the attributes of the CloudEvent whose data is a document; ``kind`` is an extension attribute."""
    return {
        "specversion": "1.0",
        "id": document["id"],
        "source": source,
        "type": f"{TYPE_PREFIX}{document['state']}",
        "subject": f"{document['name']}@{document['alias']}",
        "time": datetime.fromisoformat(document["at"]),
        "datacontenttype": "application/json",
        "kind": document["kind"],
    }
