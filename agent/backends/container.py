"""A job's processes within a container image, at sites that run images: which, and by what command.

Only runtimes whose processes are the fence's own descendants, so that the end of a lease ends
them as it ends any other: Apptainer, Charliecloud, Enroot. The fence stays outside, the shell of
the job is inside, and the job's directories are there at the same paths. Looks at the directory
of images; starts nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Any

from agent.backends import BackendRefused, RunOrder

REGISTRY = "docker://"
NO_IMAGES = "this site runs jobs natively, not in container images"
_USER_DEFAULT = "suan"  # Charliecloud wants a name
# bash where the image has it: most jobs expect that.
_SHELL = 'if command -v bash >/dev/null; then exec bash "$0"; else exec sh "$0"; fi'
_DRIVERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"npu": ("/usr/local/Ascend/driver",)}  # where Huawei's installer puts it
)


class Runtime(StrEnum):
    APPTAINER = "apptainer"
    CHARLIECLOUD = "charliecloud"
    ENROOT = "enroot"


COMMANDS: Mapping[Runtime, str] = MappingProxyType(
    {Runtime.APPTAINER: "apptainer", Runtime.CHARLIECLOUD: "ch-run", Runtime.ENROOT: "enroot"}
)


@dataclass(frozen=True, slots=True)
class Containers:
    """In which images jobs may run here, and by which runtime."""

    runtime: Runtime
    image_dir: str  # that all nodes see
    command: str = ""  # "": the runtime's usual name
    images_allowed: tuple[str, ...] = ()  # patterns of what jobs name; empty: all of image_dir
    binds: tuple[str, ...] = ()  # SOURCE[:DESTINATION] that every job sees

    def container(self, image: str, kind: str, root: Path) -> Container:
        """The image that a job names, found. `root`: below which its directories lie.

        Raises BackendRefused: "ImageNotAllowed", "ImageMissing", "ImageUnfit".
        """
        found = self._found(image)
        binds = (str(root), *self.binds, *_DRIVERS.get(kind, ()))
        command = self.command or COMMANDS[self.runtime]
        container = Container(self.runtime, command, found, kind, binds)
        _check_root(self.runtime, root)
        if self.runtime is Runtime.CHARLIECLOUD:
            _check_mount_points(Path(found), binds)
        return container

    def _found(self, image: str) -> str:
        """The path of the image, or what the runtime pulls."""
        name = image.removeprefix(REGISTRY)
        allowed = is_allowed(image, self.images_allowed)
        if self.images_allowed and not allowed:
            raise not_allowed(image, self.images_allowed)
        home = Path(os.path.realpath(self.image_dir))
        for candidate in _FILES[self.runtime](name):
            path = Path(os.path.realpath(home / candidate))
            if path.is_relative_to(home) and path != home and path.exists():
                return str(path)
        if self.runtime is Runtime.APPTAINER and allowed and not name.startswith("/"):
            return REGISTRY + name
        raise BackendRefused(
            "ImageMissing",
            f"image {image!r} is not in {self.image_dir} of this site",
            "name one that is, allow other sites, or ask the site's operator for it",
        )


@dataclass(frozen=True, slots=True)
class Container:
    """One image, ready for processes."""

    runtime: Runtime
    command: str
    image: str  # a path, or a registry's reference
    kind: str  # of the accelerators: "npu" | "dcu" | "gpu" | ""
    binds: tuple[str, ...]

    def wrap(self, script: str, process: Mapping[str, Any]) -> dict[str, Any]:
        """The process that runs `script` in the image; see `agent.fence` for what it is.

        Its `within` goes before any other command that shall run there too.
        """
        environment = {"USER": _USER_DEFAULT, **process["environment"]}
        arguments = _ARGUMENTS[self.runtime](self, process["directory"], environment)
        within = ["/usr/bin/env", self.command, *arguments]
        argv = [*within, "/bin/sh", "-c", _SHELL, script]
        return {**process, "argv": argv, "within": within, "environment": environment}


def container_of(order: RunOrder, containers: Containers | None, root: Path) -> Container | None:
    """Where a run's processes are; None: natively. `root`: below which its directories lie.

    Raises BackendRefused: "ImagesUnsupported", and as `Containers.container`.
    """
    if not order.image:
        return None
    if containers is None:
        raise BackendRefused("ImagesUnsupported", NO_IMAGES, "leave `image` out")
    return containers.container(order.image, order.kind, root)


def is_allowed(image: str, patterns: tuple[str, ...]) -> bool:
    """Whether a pattern covers an image, written with or without the registry's scheme."""
    name = image.removeprefix(REGISTRY)
    return any(fnmatchcase(name, pattern.removeprefix(REGISTRY)) for pattern in patterns)


def not_allowed(image: str, patterns: tuple[str, ...]) -> BackendRefused:
    return BackendRefused(
        "ImageNotAllowed",
        f"this site runs no image {image!r}; it allows {', '.join(patterns)}",
        "name another image, or allow other sites",
    )


# --- which file an image is ------------------------------------------------------------


def _apptainer_files(name: str) -> Iterator[str]:
    """As `apptainer pull` calls what it made of a registry's image."""
    last, _, tag = name.rpartition("/")[2].partition(":")
    yield from (name, f"{name}.sif", f"{last}_{tag or 'latest'}.sif")


def _charliecloud_files(name: str) -> Iterator[str]:
    """As `ch-image` and `ch-convert` call them."""
    plain = name.replace("/", "%").replace(":", "+")
    yield from (name, plain, f"{name}.sqfs", f"{plain}.sqfs")


def _enroot_files(name: str) -> Iterator[str]:
    """As `enroot import` calls them."""
    plain = re.sub("[/:]", "+", name)
    yield from (name, f"{name}.sqsh", f"{plain}.sqsh")


_FILES: Mapping[Runtime, Callable[[str], Iterator[str]]] = MappingProxyType(
    {
        Runtime.APPTAINER: _apptainer_files,
        Runtime.CHARLIECLOUD: _charliecloud_files,
        Runtime.ENROOT: _enroot_files,
    }
)


# --- how it is started -------------------------------------------------------------------


def _apptainer(of: Container, directory: str, environment: Mapping[str, str]) -> list[str]:
    devices = {"gpu": ["--nv"], "dcu": ["--rocm"]}.get(of.kind, [])
    binds = [word for bind in of.binds for word in ("--bind", bind)]
    return ["exec", "--no-home", *devices, *binds, "--pwd", directory, of.image]


def _charliecloud(of: Container, directory: str, environment: Mapping[str, str]) -> list[str]:
    """The host's /dev is always there; libraries of the driver the site puts into the image."""
    binds = [f"--bind={':'.join(_parts(bind)[:2])}" for bind in of.binds]
    return [*binds, f"--cd={directory}", of.image, "--"]


def _enroot(of: Container, directory: str, environment: Mapping[str, str]) -> list[str]:
    """Variables are named one by one; those of several lines its files cannot carry."""
    mounts = []
    for bind in of.binds:
        source, target, how = _parts(bind)
        mounts.append(f"{source}:{target}:none:{','.join(('x-create=auto', 'rbind', *how))}")
    if of.kind in ("npu", "dcu"):
        mounts.append("/dev:/dev:none:x-create=dir,rbind")
    one_line = [name for name, value in sorted(environment.items()) if "\n" not in value]
    others = [f"{name}={value}" for name, value in sorted(environment.items()) if "\n" in value]
    variables = [*one_line, *(["NVIDIA_VISIBLE_DEVICES=all"] if of.kind == "gpu" else [])]
    change = ["/bin/sh", "-c", 'cd "$0" && exec "$@"', directory]
    return [
        "start",
        *(word for mount in mounts for word in ("--mount", mount)),
        *(word for variable in variables for word in ("--env", variable)),
        of.image,
        *change,
        *(["env", *others] if others else []),
    ]


def _parts(bind: str) -> tuple[str, str, tuple[str, ...]]:
    """Source, destination, and the options that go with them."""
    source, *rest = bind.split(":")
    target = rest[0] if rest and rest[0].startswith("/") else source
    return source, target, tuple(word for word in rest if not word.startswith("/"))


_Arguments = Callable[[Container, str, Mapping[str, str]], list[str]]
_ARGUMENTS: Mapping[Runtime, _Arguments] = MappingProxyType(
    {
        Runtime.APPTAINER: _apptainer,
        Runtime.CHARLIECLOUD: _charliecloud,
        Runtime.ENROOT: _enroot,
    }
)


# What a runtime's own notation of binds cannot carry in a path.
_SIGNS: Mapping[Runtime, str] = MappingProxyType(
    {Runtime.APPTAINER: "[:,]", Runtime.CHARLIECLOUD: ":", Runtime.ENROOT: r"[:\s]"}
)


def _check_root(runtime: Runtime, root: Path) -> None:
    if re.search(_SIGNS[runtime], str(root)):
        message = f"{runtime} cannot be told of {root}, because of the signs in that name"
        raise _unfit(message, "the site's operator: choose a directory of letters and digits")


def _check_mount_points(image: Path, binds: tuple[str, ...]) -> None:
    """Charliecloud mounts where the image has a directory, and makes none."""
    if not image.is_dir():
        return
    for bind in binds:
        _, target, _ = _parts(bind)
        place = image / target.lstrip("/")
        if not place.exists():
            message = f"{image} has no {target} on which to mount the site's"
            raise _unfit(message, f"the site's operator: mkdir -p {place}")


def _unfit(message: str, hint: str) -> BackendRefused:
    return BackendRefused("ImageUnfit", message, hint)
