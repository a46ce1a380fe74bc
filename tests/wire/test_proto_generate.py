"""The generator writes what the sources say, and its check sees whatever differs."""

from pathlib import Path

import pytest
from generate import main

PLAIN = 'syntax = "proto3";\npackage suan.v1;\nmessage Body { string name = 1; }\n'
SERVICE = """syntax = "proto3";
package suan.v1;
import "suan/v1/body.proto";
service Things { rpc Get(Body) returns (Body); }
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with two sources under proto/ and what they give under out/."""
    source = tmp_path / "proto" / "suan" / "v1"
    source.mkdir(parents=True)
    (source / "body.proto").write_text(PLAIN)
    (source / "things_service.proto").write_text(SERVICE)
    target = tmp_path / "out" / "suan" / "v1"
    target.mkdir(parents=True)
    (target / "__init__.py").write_text('"""By hand."""\n')
    assert run(tmp_path) == 0
    return tmp_path


def run(tree: Path, *options: str) -> int:
    return main([f"--proto={tree / 'proto'}", f"--output={tree / 'out'}", *options])


def test_stubs_are_made_for_services_only(tree: Path) -> None:
    names = {path.name for path in (tree / "out" / "suan" / "v1").iterdir()}
    assert names == {
        "__init__.py",
        "body_pb2.py",
        "body_pb2.pyi",
        "things_service_pb2.py",
        "things_service_pb2.pyi",
        "things_service_pb2_grpc.py",
    }
    assert run(tree, "--check") == 0


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("body_pb2.py", "# edited by hand\n", "body_pb2.py: stale"),
        ("body_pb2.pyi", None, "body_pb2.pyi: missing"),
        ("gone_pb2.py", "# its source was deleted\n", "gone_pb2.py: has no source"),
    ],
)
def test_the_check_sees_a_difference_and_writing_mends_it(
    tree: Path, capsys: pytest.CaptureFixture[str], name: str, content: str | None, complaint: str
) -> None:
    path = tree / "out" / "suan" / "v1" / name
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    assert run(tree, "--check") == 1
    assert complaint in capsys.readouterr().err
    assert content is None or path.read_text() == content, "the check writes nothing"
    assert run(tree) == 0
    assert run(tree, "--check") == 0


def test_a_source_that_does_not_compile_is_no_traceback(
    tree: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tree / "proto" / "suan" / "v1" / "body.proto").write_text("message {")
    assert run(tree, "--check") == 1
    assert "protoc refused the files" in capfd.readouterr().err
