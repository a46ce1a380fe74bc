"""Regenerates suan/v1 from proto/suan/v1 with the pinned grpcio-tools.

`python proto/generate.py` writes; `--check` writes nothing and fails when what is committed is
not what the sources give. It knows files and protoc only: what a good schema is stands in
lint.py, what a compatible one is in breaking.py.
"""

import argparse
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

PROTO = Path(__file__).resolve().parent
ROOT = PROTO.parent
PACKAGE = Path("suan/v1")
GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py")


class ProtocFailed(Exception):
    """The sources do not compile; protoc has said why on stderr."""


def sources(root: Path) -> list[str]:
    """The .proto files under `root`, relative to it, in a stable order."""
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*.proto"))


def run_protoc(root: Path, names: list[str], *options: str) -> None:
    well_known = str(files("grpc_tools") / "_proto")
    arguments = ["protoc", f"--proto_path={root}", f"--proto_path={well_known}", *options, *names]
    if protoc.main(arguments) != 0:
        raise ProtocFailed(f"protoc refused the files under {root}")


def compile_image(root: Path, *, comments: bool = False) -> FileDescriptorSet:
    """Every file under `root` as descriptors; with `comments`, positions and comments too."""
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image.binpb"
        options = [f"--descriptor_set_out={image}"]
        if comments:
            options.append("--include_source_info")
        run_protoc(root, sources(root), *options)
        return FileDescriptorSet.FromString(image.read_bytes())


def generate(root: Path, output: Path) -> None:
    """Write the modules for everything under `root` into `output`, stubs for services only."""
    names = sources(root)
    run_protoc(root, names, f"--python_out={output}", f"--pyi_out={output}")
    services = [name for name in names if name.endswith("_service.proto")]
    if services:
        run_protoc(root, services, f"--grpc_python_out={output}")


def generated(folder: Path) -> dict[str, bytes]:
    """The generated files in one folder: name to content. What is written by hand is left out."""
    return {path.name: path.read_bytes() for pattern in GENERATED for path in folder.glob(pattern)}


def differences(committed: dict[str, bytes], fresh: dict[str, bytes]) -> list[str]:
    """What a reader must know to mend a stale tree, one line a file."""
    found = [f"{name}: missing" for name in fresh.keys() - committed.keys()]
    found += [f"{name}: has no source" for name in committed.keys() - fresh.keys()]
    both = committed.keys() & fresh.keys()
    found += [f"{name}: stale" for name in both if committed[name] != fresh[name]]
    return sorted(found)


def write(folder: Path, committed: dict[str, bytes], fresh: dict[str, bytes]) -> None:
    for name in committed.keys() - fresh.keys():
        (folder / name).unlink()
    for name, content in fresh.items():
        if committed.get(name) != content:
            (folder / name).write_bytes(content)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare only; 1 when stale")
    parser.add_argument("--proto", type=Path, default=PROTO, help="folder that holds suan/v1")
    parser.add_argument("--output", type=Path, default=ROOT, help="folder to write suan/v1 into")
    options = parser.parse_args(arguments)
    target: Path = options.output / PACKAGE
    with tempfile.TemporaryDirectory() as folder:
        try:
            generate(options.proto, Path(folder))
        except ProtocFailed as failure:
            print(f"proto: {failure}", file=sys.stderr)
            return 1
        fresh = generated(Path(folder) / PACKAGE)
    committed = generated(target)
    found = differences(committed, fresh)
    if options.check:
        for line in found:
            print(f"{PACKAGE}/{line}; run `make proto`", file=sys.stderr)
        return 1 if found else 0
    write(target, committed, fresh)
    print(f"proto: {len(fresh)} files, {len(found)} changed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
