"""Each rule of proto/lint.py finds its sin in a small file, and the committed wire has none."""

from pathlib import Path

import pytest
from generate import PROTO, compile_image
from lint import Finding, lint

CLEAN = """syntax = "proto3";

package suan.v1;

import "suan/v1/body.proto";

// What people use.
service Things {
  rpc Get(GetRequest) returns (GetResponse);
}

message GetRequest {}

message GetResponse {
  Body body = 1;
}
"""
BODY = """syntax = "proto3";

package suan.v1;

// What a thing is made of.
message Body {
  oneof want {
    string first_name = 1;
  }
  optional uint32 rank = 2;
  map<string, double> peak_tflops = 3;
  BodyState state = 4;
}

enum BodyState {
  BODY_STATE_UNSPECIFIED = 0;
  BODY_STATE_OPEN = 1;
}
"""
SERVICE, PLAIN = "suan/v1/things_service.proto", "suan/v1/body.proto"


def findings_of(root: Path, files: dict[str, str]) -> list[Finding]:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return lint(compile_image(root, comments=True))


def test_a_clean_wire_has_no_findings(tmp_path: Path) -> None:
    assert findings_of(tmp_path, {SERVICE: CLEAN, PLAIN: BODY}) == []


def test_the_committed_wire_has_no_findings() -> None:
    assert lint(compile_image(PROTO, comments=True)) == []


@pytest.mark.parametrize(
    ("rule", "old", "new"),
    [
        ("SYNTAX", 'syntax = "proto3";', 'syntax = "proto2";'),
        ("MESSAGE_PASCAL_CASE", "message Body {", "message body_part {} message Body {"),
        ("FIELD_LOWER_SNAKE_CASE", "first_name", "firstName"),
        ("ONEOF_LOWER_SNAKE_CASE", "oneof want", "oneof theWant"),
        ("ENUM_PASCAL_CASE", "enum BodyState", "enum Body_State"),
        (
            "ENUM_NO_ALLOW_ALIAS",
            "OPEN = 1;",
            "OPEN = 1; BODY_STATE_B = 1; option allow_alias = true;",
        ),
        ("ENUM_ZERO_VALUE_SUFFIX", "BODY_STATE_UNSPECIFIED", "BODY_STATE_NONE"),
        ("ENUM_VALUE_PREFIX", "BODY_STATE_OPEN", "OPEN"),
        ("ENUM_VALUE_UPPER_SNAKE_CASE", "BODY_STATE_OPEN", "BODY_STATE_Open"),
        ("COMMENT_MESSAGE", "// What a thing is made of.\n", ""),
    ],
)
def test_a_broken_type_is_found(tmp_path: Path, rule: str, old: str, new: str) -> None:
    assert old in BODY
    broken = BODY.replace(old, new)
    if rule == "SYNTAX":  # proto2 wants a label, and enums that close at their first value
        broken = "syntax = 'proto2'; package suan.v1;\n// A body.\nmessage Body {}\n"
    if rule == "ENUM_PASCAL_CASE":
        broken = broken.replace("BodyState state", "Body_State state")
    found = findings_of(tmp_path, {SERVICE: CLEAN, PLAIN: broken})
    assert rule in {finding.rule for finding in found}
    assert {finding.file for finding in found} == {PLAIN}


@pytest.mark.parametrize(
    ("rule", "old", "new"),
    [
        ("SERVICE_PASCAL_CASE", "service Things", "service things"),
        ("RPC_PASCAL_CASE", "rpc Get(", "rpc get("),
        ("RPC_STANDARD_NAME", "(GetRequest)", "(Body)"),
        ("RPC_STANDARD_NAME", "(GetResponse)", "(stream Body)"),
        (
            "RPC_REQUEST_RESPONSE_UNIQUE",
            "(GetResponse);",
            "(GetResponse); rpc Ask(GetRequest) returns (Body);",
        ),
        ("IMPORT_USED", "  Body body = 1;\n", ""),
        ("IMPORT_NO_PUBLIC", "import ", "import public "),
        ("COMMENT_SERVICE", "// What people use.\n", ""),
        ("SERVICE_FILE", "// What people", "// A second.\nservice More {}\n\n// What people"),
        ("SERVICE_FILE", CLEAN[CLEAN.index("service") : CLEAN.index("message GetRequest")], ""),
    ],
)
def test_a_broken_service_is_found(tmp_path: Path, rule: str, old: str, new: str) -> None:
    assert old in CLEAN
    found = findings_of(tmp_path, {SERVICE: CLEAN.replace(old, new), PLAIN: BODY})
    assert rule in {finding.rule for finding in found}
    assert {finding.file for finding in found} == {SERVICE}


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        ("FILE_LOWER_SNAKE_CASE", "suan/v1/bodyParts.proto", BODY),
        ("PACKAGE_VERSION_SUFFIX", PLAIN, BODY.replace("package suan.v1;", "package suan;")),
        ("PACKAGE_DIRECTORY_MATCH", "suan/v2/body.proto", BODY),
        (
            "SERVICE_FILE",
            "suan/v1/things.proto",
            "syntax = 'proto3'; package suan.v1;\n// A shop.\nservice Shop {}",
        ),
    ],
)
def test_a_misplaced_file_is_found(tmp_path: Path, rule: str, name: str, text: str) -> None:
    assert [finding.rule for finding in findings_of(tmp_path, {name: text})] == [rule]


def test_a_nested_type_is_looked_at_too(tmp_path: Path) -> None:
    nested = BODY.replace(
        "oneof want", "// Inner.\n  message inner_part { string A = 1; }\n  oneof want"
    )
    found = findings_of(tmp_path, {PLAIN: nested})
    assert {finding.rule for finding in found} == {"MESSAGE_PASCAL_CASE", "FIELD_LOWER_SNAKE_CASE"}


def test_a_heading_documents_the_messages_below_it(tmp_path: Path) -> None:
    heading = "package suan.v1;\n\n// --- parts ---\n\nmessage Leg {}\n\nmessage Arm {}\n"
    text = BODY.replace("package suan.v1;\n", heading).replace("// What a thing is made of.\n", "")
    assert findings_of(tmp_path, {PLAIN: text}) == []


def test_a_finding_names_its_line(tmp_path: Path) -> None:
    [finding] = findings_of(tmp_path, {PLAIN: BODY.replace("first_name", "firstName")})
    assert str(finding) == (
        "suan/v1/body.proto:8: FIELD_LOWER_SNAKE_CASE: field Body.firstName is not lower_snake_case"
    )
