"""The `probe` of a pool in agent.yaml, where a vendor's Prometheus exporter tells of its cards.

The same for a pool of the agent's own machines and for what a cluster manager offers.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from agent.config.values import pair
from agent.probes.exporters import EXPORTERS
from agent.probes.reading import ExporterProbe
from suan.jobspec.limits import Fault, TextRule, quoted
from suan.jobspec.shapes import Choice, Field, MapOf, Record, Scalar, text

URL = TextRule(512, r"https?://[!-~]+", "a URL, e.g. http://{address}:8082/metrics")
SERIES = TextRule(200, r"[a-zA-Z_:][a-zA-Z0-9_:]*", "a name of Prometheus")
NAMES_MAX = 1_000
_PLACE = re.compile(r"\{(node|address)\}")


def _url(written: str) -> str:
    """Raises Fault."""
    URL.verify(written)
    try:
        parts = urlsplit(_PLACE.sub("host", written))
        sound = bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound or parts.username is not None or set("{}") & set(_PLACE.sub("", written)):
        hint = "{node} and {address} may stand in it, for the name and the address of the node"
        raise Fault("BadText", f"{quoted(written)} is no URL of an exporter", hint)
    return written


def _probe(exporter: str, url: str, names: tuple[tuple[str, str], ...] = ()) -> ExporterProbe:
    """Raises Fault."""
    known = EXPORTERS[exporter]
    labels = {*known.card_labels, *known.model_labels, known.parts_label, "health"}
    for printed, name in names:
        if name not in known.series and name not in labels:
            message = f"{quoted(printed)} stands for {quoted(name)}, which {exporter} does not read"
            raise Fault("UnknownWord", message, f"it reads {', '.join(known.series)}")
    return ExporterProbe(exporter, url, names)


EXPORTER: Record[ExporterProbe] = Record(
    _probe,
    (
        Field("exporter", Choice({name: name for name in EXPORTERS}), "which", required=True),
        Field(
            "url",
            Scalar(_url, None, {"type": "string"}, "a URL"),
            "of its metrics, with {node} or {address}, e.g. http://{address}:8082/metrics",
            required=True,
            foreign=("address", "endpoint", "target"),
        ),
        Field(
            "names",
            MapOf(SERIES, text(SERIES), pair),
            "series and labels that this site has renamed -> the exporter's own names",
            foreign=("metrics", "rename"),
        ),
    ),
)
PROBE = Field("probe", EXPORTER, "exporter on each node that tells of its cards; default: none")
