"""The JSON Schema (draft 2020-12) of the job file, from the table that `load` reads by.

What a schema cannot say (names of the catalogue, rules between keys, totals) is left to
`load`; whatever the schema refuses, `load` refuses.
"""

from __future__ import annotations

from suan.jobspec.fields import JOB_FILE
from suan.jobspec.shapes import Json


def schema() -> Json:
    """A fresh dict, ready for `json.dumps`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:suan:job-file:v1",
        "title": "Suan job file",
        **JOB_FILE.schema(),
    }
