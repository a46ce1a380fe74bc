"""Each way to break a peer of the committed wire is found; what is compatible passes."""

from pathlib import Path

import pytest
from breaking import IMAGE, breaks, main
from generate import PROTO, compile_image
from google.protobuf.descriptor_pb2 import FileDescriptorSet

NAME = "suan/v1/things.proto"
BEFORE = """syntax = "proto3";
package suan.v1;

message Thing {
  reserved 8;
  reserved "gone";
  string name = 1;
  uint32 count = 2;
  repeated string tags = 3;
  oneof want {
    string model = 4;
    Kind kind = 5;
  }
  optional uint32 rank = 6;
  Part part = 7;
  message Part { bytes data = 1; }
  map<string, double> peak = 9;
}
message Empty {}
enum Kind {
  KIND_UNSPECIFIED = 0;
  KIND_OPEN = 1;
}
service Things {
  rpc Get(Thing) returns (Empty);
  rpc Watch(Empty) returns (stream Thing);
}
service Others {}
"""


def image_of(root: Path, text: str) -> FileDescriptorSet:
    path = root / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return compile_image(root)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  uint32 count = 2;\n", "", "suan.v1.Thing.count was removed without `reserved 2"),
        ("  uint32 count = 2;\n", "reserved 2;", "suan.v1.Thing.count was removed without"),
        ("uint32 count = 2", "uint32 amount = 2", "count: number 2 is now called amount"),
        ("uint32 count = 2", "uint32 count = 12", "suan.v1.Thing.count was removed without"),
        ("uint32 count", "uint64 count", "count: its type changed from uint32 to uint64"),
        ("Part part = 7", "Empty part = 7", "changed from suan.v1.Thing.Part to suan.v1.Empty"),
        ("Part part = 7", "bytes part = 7", "its type changed from suan.v1.Thing.Part to bytes"),
        ("repeated string tags", "string tags", "tags: it changed between singular and repeated"),
        ("optional uint32 rank", "uint32 rank", "rank: it changed whether its presence"),
        (
            "string model = 4;\n    Kind kind = 5;\n  }",
            "Kind kind = 5; } string model = 4;",
            "model: it moved from want",
        ),
        (
            "string name = 1;",
            "oneof who { string name = 1; }",
            "name: it moved from no oneof to who",
        ),
        ("string name = 1", 'string name = 1 [json_name = "n"]', "changed from name to n"),
        ("double> peak", "float> peak", "PeakEntry.value: its type changed from double to float"),
        ("bytes data = 1", "string data = 1", "suan.v1.Thing.Part.data: its type changed"),
        ("  reserved 8;\n", "", "suan.v1.Thing: number 8 is no longer reserved"),
        ('  reserved "gone";\n', "", 'suan.v1.Thing: name "gone" is no longer reserved'),
        ("  KIND_OPEN = 1;\n", "", "suan.v1.Kind.KIND_OPEN was removed without `reserved 1"),
        ("  KIND_OPEN = 1;\n", "  reserved 1;\n", "suan.v1.Kind.KIND_OPEN was removed without"),
        ("KIND_OPEN = 1", "KIND_SHUT = 1", "KIND_OPEN: number 1 is now called KIND_SHUT"),
        ("rpc Get(Thing) returns (Empty);", "", "rpc suan.v1.Things.Get was removed"),
        ("Get(Thing)", "Get(Empty)", "Get: its request changed from suan.v1.Thing"),
        ("Get(Thing) returns (Empty)", "Get(Thing) returns (Thing)", "Get: its response changed"),
        ("Get(Thing)", "Get(stream Thing)", "Get: it changed whether the client streams"),
        ("(stream Thing)", "(Thing)", "Watch: it changed whether the server streams"),
        ("service Others {}", "", "service suan.v1.Others was removed"),
        ("message Empty {}", "message Void {}", "message suan.v1.Empty was removed"),
        ("enum Kind {", "enum Sort {", "enum suan.v1.Kind was removed"),
    ],
)
def test_a_break_is_found(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in BEFORE
    after = BEFORE.replace(old, new)
    if "message Void" in new:
        after = after.replace("(Empty)", "(Void)")
    if "enum Sort" in new:
        after = after.replace("Kind kind", "Sort kind")
    found = breaks(image_of(tmp_path / "a", BEFORE), image_of(tmp_path / "b", after))
    assert any(expected in line for line in found), found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Part part = 7;", "Part part = 7; string more = 10; reserved 11;"),
        ("  uint32 count = 2;\n", '  reserved 2; reserved "count";\n'),
        ("  KIND_OPEN = 1;\n", '  reserved 1; reserved "KIND_OPEN";\n  KIND_SHUT = 2;\n'),
        ("rpc Get(", "rpc Put(Thing) returns (Empty); rpc Get("),
        ("service Others {}", "service Others {} message New {} enum N { N_UNSPECIFIED = 0; }"),
        ("  reserved 8;\n", "  reserved 8 to 8, 20 to max;\n"),
    ],
)
def test_a_compatible_change_passes(tmp_path: Path, old: str, new: str) -> None:
    assert old in BEFORE
    before, after = image_of(tmp_path / "a", BEFORE), BEFORE.replace(old, new)
    assert breaks(before, image_of(tmp_path / "b", after)) == []


def test_the_image_follows_additions_but_not_breaks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "image.binpb"
    arguments = [f"--proto={tmp_path}", f"--image={image}"]
    image_of(tmp_path, BEFORE)
    assert main(arguments) == 1, "nothing is committed yet"
    assert "stale" in capsys.readouterr().err
    assert main([*arguments, "--record"]) == 0
    assert main(arguments) == 0

    committed = image.read_bytes()
    image_of(tmp_path, BEFORE.replace("uint32 count", "uint64 count"))
    assert main([*arguments, "--record"]) == 1
    assert "suan.v1.Thing.count: its type changed" in capsys.readouterr().err
    assert image.read_bytes() == committed
    assert main([*arguments, "--accept"]) == 0
    assert main(arguments) == 0


def test_the_committed_image_is_the_wire() -> None:
    committed = FileDescriptorSet.FromString(IMAGE.read_bytes())
    assert committed == compile_image(PROTO), "run `make proto`"
