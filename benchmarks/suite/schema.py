"""workflow/schemas/suite.schema.json: what a suite file may say, for editors that complete and check YAML."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.suite.config import Suite
from sid import atomic

FILE = Path(__file__).parents[2] / "workflow" / "schemas" / "suite.schema.json"


def text() -> str:
    """The schema as it is committed. A suite that extends another need not say everything, and takes keys away by null:
    the schema helps to write one, and `sidbench check` judges the whole."""
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
    atomic.write_text(FILE, text())
    print(FILE)
