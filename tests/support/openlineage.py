"""Reads the facets of OpenLineage events, and checks events against the published JSON schemas."""

import functools
import json
import os
from pathlib import Path

import jsonschema
import referencing

SPEC = "OPENLINEAGE_SPEC"
"""Variable with the directory `spec` of OpenLineage's repository; the client's package has no schemas."""
_EVENT = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"


def facets(event):
    """Returns the names and contents of an event's facets, as pairs."""
    holders = [event["run"], event["job"], *event["inputs"], *event["outputs"]]
    kinds = ("facets", "inputFacets", "outputFacets")
    return [facet for holder in holders for kind in kinds for facet in holder.get(kind, {}).items()]


def check_event(event):
    """Checks an event and each of its facets against the published schemas."""
    _validator(_EVENT).validate(event)
    for _, facet in facets(event):
        _validator(facet["_schemaURL"]).validate(facet)


@functools.cache
def _registry():
    schemas = [json.loads(file.read_text(encoding="utf-8")) for file in Path(os.environ[SPEC]).rglob("*.json")]
    return referencing.Registry().with_resources(
        (schema["$id"], referencing.Resource.from_contents(schema)) for schema in schemas if "$id" in schema
    )


@functools.cache
def _validator(address):
    formats = jsonschema.Draft202012Validator.FORMAT_CHECKER
    return jsonschema.Draft202012Validator({"$ref": address}, registry=_registry(), format_checker=formats)
