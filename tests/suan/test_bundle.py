"""The working directory as an archive: the same, whole, small, and nothing from outside."""

from __future__ import annotations

import os
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from suan import bundle
from suan.bundle import Archive, pack
from suan.errors import InvalidRequest, ResourceExhausted


def names(archive: Archive) -> list[str]:
    with tarfile.open(fileobj=BytesIO(archive.data)) as opened:
        return opened.getnames()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    place = tmp_path / "work"
    (place / "src").mkdir(parents=True)
    (place / "train.py").write_text("print('训练')\n", encoding="utf-8")
    (place / "src" / "run.sh").write_text("#!/bin/sh\n")
    (place / "src" / "run.sh").chmod(0o755)
    return place


def test_the_same_files_give_the_same_bytes(work: Path) -> None:
    first = pack(work)
    os.utime(work / "train.py", (1, 1))
    assert pack(work) == first
    (work / "train.py").write_text("print(2)\n")
    assert pack(work).sha256 != first.sha256


def test_all_files_are_in_it_and_no_owner(work: Path) -> None:
    with tarfile.open(fileobj=BytesIO(pack(work).data)) as opened:
        members = {member.name: member for member in opened}
        content = opened.extractfile("train.py")
        assert content is not None and content.read().decode() == "print('训练')\n"
    assert members.keys() == {"train.py", "src/run.sh"}
    assert members["src/run.sh"].mode == 0o755
    assert {(m.uid, m.gid, m.mtime, m.uname) for m in members.values()} == {(0, 0, 0, "")}


def test_what_is_ignored_stays_at_home(work: Path) -> None:
    for name in (".git/config", "__pycache__/a.pyc", "data/large.bin", "old/x.txt", "keep.txt"):
        path = work / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    (work / bundle.IGNORE_FILE).write_text("# mine\n*.bin\n\nold/\n")
    expected = [bundle.IGNORE_FILE, "keep.txt", "src/run.sh", "train.py"]
    assert sorted(names(pack(work))) == expected


def test_a_link_within_becomes_the_file(work: Path) -> None:
    (work / "also.py").symlink_to("train.py")
    with tarfile.open(fileobj=BytesIO(pack(work).data)) as opened:
        member = opened.getmember("also.py")
        assert member.isreg() and member.size == (work / "train.py").stat().st_size


@pytest.mark.parametrize("target", ["/etc/hostname", "../outside", "src", "nowhere"])
def test_other_links_are_refused(work: Path, target: str) -> None:
    (work.parent / "outside").write_text("secret")
    (work / "link").symlink_to(target)
    with pytest.raises(InvalidRequest) as caught:
        pack(work)
    assert caught.value.code == "WorkdirLinkOutside"
    (work / bundle.IGNORE_FILE).write_text("link\n")
    assert "link" not in names(pack(work))


def test_too_large_names_the_largest(work: Path) -> None:
    (work / "model.bin").write_bytes(os.urandom(3 * 1024 * 1024))
    with pytest.raises(ResourceExhausted) as caught:
        pack(work)
    assert caught.value.code == "WorkdirTooLarge"
    assert "model.bin (3.0 MiB)" in caught.value.hint


def test_too_many_files_are_refused(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "FILES_MAX", 1)
    with pytest.raises(ResourceExhausted):
        pack(work)


def test_a_directory_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="nowhere"):
        pack(tmp_path / "nowhere")


def test_what_is_packed_the_agent_unpacks(work: Path, tmp_path: Path) -> None:
    from agent.backends.bundle import unpack_bundle

    (work / "also.py").symlink_to("train.py")
    file = tmp_path / "bundle.tar.gz"
    file.write_bytes(pack(work).data)
    target = tmp_path / "there"
    target.mkdir()
    unpack_bundle(file, target)
    assert (target / "also.py").read_text(encoding="utf-8") == "print('训练')\n"
    assert os.access(target / "src" / "run.sh", os.X_OK)
