"""Who somebody is: a name inside one federation, written as a URI.

The URI stands in the certificate's subject alternative name and is the only source of a
role. Knows nothing of certificates, keys or files.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

SCHEME: Final = "spiffe://"

_LABEL: Final = r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?"  # 1 to 63 characters
_LABEL_PATTERN: Final = re.compile(_LABEL)


class Role(Enum):
    """What a principal is; what it may do stands in the broker's role table."""

    BROKER = "broker"
    SITE = "site"
    OPERATOR = "operator"
    USER = "user"
    TENANT_ADMIN = "tenant-admin"
    ADMIN = "admin"
    AUDITOR = "auditor"


# One path a role; a field in braces is a label of the principal.
_PATHS: Final[dict[Role, str]] = {
    Role.BROKER: "broker/{name}",
    Role.SITE: "site/{site}",
    Role.OPERATOR: "site/{site}/operator/{name}",
    Role.USER: "tenant/{tenant}/user/{name}",
    Role.TENANT_ADMIN: "tenant/{tenant}/admin/{name}",
    Role.ADMIN: "admin/{name}",
    Role.AUDITOR: "auditor/{name}",
}


def _path_pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", rf"(?P<\1>{_LABEL})", path))


_PATTERNS: Final = {role: _path_pattern(path) for role, path in _PATHS.items()}


class PrincipalInvalid(ValueError):
    """A text is not the name of anybody in a federation."""


@dataclass(frozen=True, slots=True)
class Principal:
    """One identity. `site` is set for a site and its operators, `tenant` for a tenant's people.

    A site's `name` is its `site`. Raises PrincipalInvalid for a label that is not 1 to 63
    characters of a-z, 0-9, '.', '_' and '-', or that the role does not have.
    """

    federation: str
    role: Role
    name: str
    site: str = ""
    tenant: str = ""

    def __post_init__(self) -> None:
        fields = set(re.findall(r"\{(\w+)\}", _PATHS[self.role])) | {"federation", "name"}
        for field in ("federation", "name", "site", "tenant"):
            label = getattr(self, field)
            if field not in fields and label:
                raise PrincipalInvalid(f"a principal of role {self.role.value} has no {field}")
            if field in fields and not _LABEL_PATTERN.fullmatch(label):
                raise PrincipalInvalid(
                    f"{field} {label!r} is not 1 to 63 characters of a-z, 0-9, '.', '_', '-'"
                )
        if self.role is Role.SITE and self.name != self.site:
            raise PrincipalInvalid(f"site {self.site!r} cannot be named {self.name!r}")

    @property
    def uri(self) -> str:
        """The name as it stands in a certificate."""
        path = _PATHS[self.role].format(name=self.name, site=self.site, tenant=self.tenant)
        return f"{SCHEME}{self.federation}/{path}"

    def __str__(self) -> str:
        return self.uri

    @classmethod
    def parse(cls, uri: str) -> "Principal":
        """The principal that `uri` names; raises PrincipalInvalid when it names none."""
        federation, _, path = uri.removeprefix(SCHEME).partition("/")
        if uri.startswith(SCHEME):
            for role, pattern in _PATTERNS.items():
                if found := pattern.fullmatch(path):
                    labels = found.groupdict()
                    return cls(federation, role, **({"name": labels.get("site", "")} | labels))
        raise PrincipalInvalid(f"{uri!r} does not name a principal of a federation")


def site_principal(federation: str, site: str) -> Principal:
    """The principal of the agent of `site`."""
    return Principal(federation, Role.SITE, site, site=site)
