"""Contexts: which broker, as whom, for whom. Kept in `~/.config/suan/config.yaml`.

The option on the command line is stronger than the environment (SUAN_CONTEXT, SUAN_ADDRESS,
SUAN_IDENTITY), and this is stronger than the file: with `--context` the environment does not
count. An address is HOST:PORT, or a list of all brokers of the federation: with commas, in the
file also as a list of YAML. Knows no gRPC and opens no identity.
"""

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import yaml

from suan.errors import InvalidRequest, NotFound
from suan.identity.address import split_addresses
from suan.identity.files import read_file, write_file

DEFAULT_PATH: Final = Path("~/.config/suan/config.yaml")
_FIELDS: Final = ("address", "identity", "tenant", "project")
_HOW: Final = "set {}, or make a context: suan context --help"


@dataclass(frozen=True, slots=True)
class Context:
    """A federation's brokers as one identity (a directory); "" for what is not said.

    `address`: HOST:PORT, several with commas.
    """

    name: str
    address: str
    identity: str
    tenant: str = ""
    project: str = ""


@dataclass(frozen=True, slots=True)
class Contexts:
    """What the context file holds; `current` names one of `contexts`, or is ""."""

    current: str = ""
    contexts: Mapping[str, Context] = field(default_factory=dict)

    def get(self, name: str) -> Context:
        """Raises NotFound (ContextUnknown)."""
        if name not in self.contexts:
            near = difflib.get_close_matches(name, self.contexts, n=1)
            known = ", ".join(sorted(self.contexts)) or "none yet"
            hint = f"did you mean {near[0]}?" if near else f"known: {known}"
            raise NotFound(f"there is no context {name!r}", hint, "ContextUnknown")
        return self.contexts[name]


def context_path(environ: Mapping[str, str]) -> Path:
    """Where the context file is: SUAN_CONFIG, else the default."""
    return Path(environ.get("SUAN_CONFIG") or DEFAULT_PATH).expanduser()


def load_contexts(environ: Mapping[str, str]) -> Contexts:
    """All contexts, none when there is no file. Raises InvalidRequest (ContextFileMalformed)."""
    path = context_path(environ)
    if not path.exists():
        return Contexts()
    try:
        return _parse(yaml.safe_load(read_file(path)))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        reason = "it is not YAML" if isinstance(error, yaml.YAMLError) else error
        raise InvalidRequest(
            f"{path} is not a context file: {reason}",
            f"mend it, or move {path} away and make the context again",
            "ContextFileMalformed",
        ) from error


def save_context(context: Context, environ: Mapping[str, str]) -> None:
    """Adds or replaces a context; the first one becomes the current one."""
    if not context.name.strip():
        raise InvalidRequest("a context needs a name", "", "ContextInvalid")
    address = ",".join(split_addresses(context.address))
    kept = replace(context, address=address, identity=_absolute(context.identity))
    known = load_contexts(environ)
    changed = {**known.contexts, context.name: kept}
    _write(Contexts(known.current or context.name, changed), environ)


def use_context(name: str, environ: Mapping[str, str]) -> Context:
    """Makes a context the current one; raises NotFound (ContextUnknown)."""
    known = load_contexts(environ)
    chosen = known.get(name)
    _write(Contexts(name, known.contexts), environ)
    return chosen


def delete_context(name: str, environ: Mapping[str, str]) -> None:
    """Forgets a context, not its identity; raises NotFound (ContextUnknown)."""
    known = load_contexts(environ)
    known.get(name)
    left = {key: context for key, context in known.contexts.items() if key != name}
    _write(Contexts("" if known.current == name else known.current, left), environ)


def resolve(context: str | None, address: str | None, environ: Mapping[str, str]) -> Context:
    """The context a command runs in, from its options, the environment and the file.

    Raises InvalidRequest (AddressMissing, IdentityUnnamed, AddressInvalid,
    ContextFileMalformed) and NotFound (ContextUnknown).
    """
    known = load_contexts(environ)
    name = context or environ.get("SUAN_CONTEXT") or known.current
    chosen = known.get(name) if name else Context("", "", "")
    if not context:  # an option is stronger than the environment
        chosen = replace(
            chosen,
            address=environ.get("SUAN_ADDRESS") or chosen.address,
            identity=environ.get("SUAN_IDENTITY") or chosen.identity,
        )
    resolved = replace(chosen, address=address or chosen.address)
    if not resolved.address:
        raise InvalidRequest("no broker is named", _HOW.format("SUAN_ADDRESS"), "AddressMissing")
    if not resolved.identity:
        raise InvalidRequest(
            "no identity is named", _HOW.format("SUAN_IDENTITY"), "IdentityUnnamed"
        )
    addresses = split_addresses(resolved.address)
    return replace(resolved, address=",".join(addresses), identity=_absolute(resolved.identity))


def _parse(document: Any) -> Contexts:
    if document is None:
        return Contexts()
    if not isinstance(document, dict) or document.keys() - {"current", "contexts"}:
        raise ValueError("it holds other keys than 'current' and 'contexts'")
    entries = document.get("contexts", {})
    current = document.get("current", "")
    if not isinstance(entries, dict) or not isinstance(current, str):
        raise ValueError("'contexts' must hold names and values, and 'current' one name")
    contexts = {str(name): _context(str(name), entry) for name, entry in entries.items()}
    if current and current not in contexts:
        raise ValueError(f"the current context {current!r} is not in it")
    return Contexts(current, contexts)


def _context(name: str, entry: Any) -> Context:
    if not isinstance(entry, dict) or entry.keys() - set(_FIELDS):
        raise ValueError(f"context {name!r} holds other keys than {', '.join(_FIELDS)}")
    values = {key: entry.get(key) or "" for key in _FIELDS}
    if isinstance(values["address"], list):
        values["address"] = ",".join(map(str, values["address"]))
    only_text = all(isinstance(value, str) for value in values.values())
    if not (only_text and values["address"] and values["identity"]):
        raise ValueError(f"context {name!r} needs an address and an identity, both as text")
    return Context(name, **values)


def _absolute(directory: str) -> str:
    return str(Path(directory).expanduser().absolute())


def _write(contexts: Contexts, environ: Mapping[str, str]) -> None:
    entries = {
        name: {key: value for key, value in asdict(context).items() if key in _FIELDS and value}
        for name, context in sorted(contexts.contexts.items())
    }
    for entry in entries.values():
        if "," in entry["address"]:
            entry["address"] = entry["address"].split(",")
    document = {"current": contexts.current, "contexts": entries}
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    write_file(context_path(environ), text.encode(), force=True)
