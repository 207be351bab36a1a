"""Writes workflow/schemas/suite.schema.json, from which editors complete and check suite files."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.suite.config import Suite
from sid import atomic

SCHEMA = Path(__file__).parents[2] / "workflow" / "schemas" / "suite.schema.json"


def text() -> str:
    """The schema as it is committed.

    A suite that extends another one may leave out keys and remove them by null, so the schema requires less than
    `sidbench check` does.
    """
    schema = Suite.model_json_schema()
    required = schema.pop("required")
    for section in schema["$defs"].values():
        section.pop("required", None)
    for section in schema["properties"].values():
        for pattern, item in section.get("patternProperties", {}).items():
            section["patternProperties"][pattern] = {"anyOf": [item, {"type": "null"}]}
    schema["anyOf"] = [{"required": required}, {"required": ["extends"]}]
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(schema, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    atomic.write_text(SCHEMA, text())
    print(SCHEMA)
