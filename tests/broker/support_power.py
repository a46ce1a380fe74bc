"""A disk under SQLite that can lose its power: what was not synced is lost, kept or torn.

Sits below the very SQLite library that `sqlite3` uses, as its default virtual file system, so
that the real store runs on it unchanged. Reads and locks are the system's own; writes are
noted as well as done, so that after the cut `survivors` lays out one of the many states in
which a real disk may be found:

- what was synced is there; of what was not, each 512-byte sector of each write may be, in
  any order, and each change of a file's length;
- names are durable once their directory was synced, as SQLite has it done by the first sync
  of a journal: until then a new file may be gone and a removed one may be back;
- the shared-memory index, which nobody syncs, holds anything.
"""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECTOR_BYTES = 512
OK, CANNOT_OPEN, IO_ERROR_WRITE, IO_ERROR_SYNC = 0, 14, 778, 1034
_DATABASE, _JOURNALS = 0x100, 0x800 | 0x80000  # kinds of files by their flags

_Int, _Long, _Pointer = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p
_Open = ctypes.CFUNCTYPE(
    _Int, _Pointer, _Pointer, _Pointer, _Int, _Pointer
)  # (vfs, name, file, flags, flags out)
_Delete = ctypes.CFUNCTYPE(_Int, _Pointer, _Pointer, _Int)
_Write = ctypes.CFUNCTYPE(_Int, _Pointer, _Pointer, _Int, _Long)
_Truncate = ctypes.CFUNCTYPE(_Int, _Pointer, _Long)
_Sync = ctypes.CFUNCTYPE(_Int, _Pointer, _Int)


class _Vfs(ctypes.Structure):
    """`sqlite3_vfs`, as far as it is changed here."""

    _fields_ = [
        ("version", _Int),
        ("file_bytes", _Int),
        ("path_characters_max", _Int),
        ("next", _Pointer),
        ("name", ctypes.c_char_p),
        ("data", _Pointer),
        ("open", _Open),
        ("delete", _Delete),
        ("others", _Pointer * 13),
    ]


class _Methods(ctypes.Structure):
    """`sqlite3_io_methods`, as far as it is changed here."""

    _fields_ = [
        ("version", _Int),
        ("close", _Pointer),
        ("read", _Pointer),
        ("write", _Write),
        ("truncate", _Truncate),
        ("sync", _Sync),
        ("others", _Pointer * 13),
    ]


class _File(ctypes.Structure):
    """`sqlite3_file`."""

    _fields_ = [("methods", ctypes.POINTER(_Methods))]


@dataclass(slots=True)
class _Written:
    offset: int
    data: bytes


@dataclass(slots=True)
class _Cut:
    """A change of a file's length."""

    size: int


@dataclass(slots=True)
class _Kept:
    """A file: what is surely on the disk, and what may be."""

    durable: bytes
    named: bool  # whether its name is surely there
    journal: bool  # its first sync is one of the directory too
    loose: list[_Written | _Cut] = field(default_factory=list)
    removed: bool = False


class SqliteUnreachable(Exception):
    """This Python's SQLite cannot be reached, so no disk can be put under it."""


def _library() -> Any:
    """The library that the module `sqlite3` itself calls."""
    import _sqlite3

    try:
        library = ctypes.CDLL(_sqlite3.__file__)
        library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        library.sqlite3_vfs_find.argtypes = [ctypes.c_char_p]
        library.sqlite3_vfs_register.argtypes = [ctypes.POINTER(_Vfs), _Int]
        library.sqlite3_vfs_unregister.argtypes = [ctypes.POINTER(_Vfs)]
    except (AttributeError, OSError) as error:
        raise SqliteUnreachable(str(error)) from error
    return library


class Disk:
    """A disk whose power fails after `changes_left` writes, syncs and removals; None: never.

    `fault` is asked at each: what it answers is SQLite's code of a disk that is full or
    broken. IO_ERROR_SYNC leaves the writes alone and fails where they should become durable.
    """

    def __init__(
        self, changes_left: int | None = None, fault: Callable[[], int] = lambda: OK
    ) -> None:
        self.powered = True
        self._fault = fault
        self.changes_left = changes_left
        self._files: dict[Path, _Kept] = {}
        self._open_files: dict[int, Path] = {}  # by the address of SQLite's handle
        self._methods: dict[int, tuple[_Methods, _Methods]] = {}  # the system's, and ours
        self._library = _library()
        self._system = self._library.sqlite3_vfs_find(None).contents
        self._vfs = _Vfs.from_buffer_copy(self._system)
        self._vfs.name = b"suan-test-disk"
        self._vfs.open = _Open(self._open)
        self._vfs.delete = _Delete(self._delete)
        self._write, self._truncate = _Write(self._on_write), _Truncate(self._on_truncate)
        self._sync = _Sync(self._on_sync)

    @contextmanager
    def mounted(self) -> Iterator[None]:
        """Databases that are opened meanwhile lie on this disk; it must outlive them."""
        self._library.sqlite3_vfs_register(ctypes.byref(self._vfs), 1)
        try:
            yield
        finally:
            self._library.sqlite3_vfs_unregister(ctypes.byref(self._vfs))
            self._library.sqlite3_vfs_register(ctypes.byref(self._system), 1)

    def survivors(self, folder: Path, chance: random.Random) -> None:
        """Lay out in `folder` what may be found when the power is back."""
        kept = chance.choice([0.0, 0.1, 0.5, 0.9, 1.0])  # of what was not synced
        for path, file in self._files.items():
            there = chance.random() < kept
            if (file.removed and there) or not (file.named or there):
                continue
            content = bytearray(file.durable)
            for change in file.loose:
                _apply(content, change, chance, kept)
            (folder / path.name).write_bytes(content)
            index = path.with_name(path.name + "-shm")
            if index.exists():
                (folder / index.name).write_bytes(_stale(index.read_bytes(), chance))

    # --- what SQLite calls ----------------------------------------------------------

    def _open(self, _: int, name: int, handle: int, flags: int, out: int) -> int:
        if not self.powered:
            return CANNOT_OPEN
        path = Path(ctypes.string_at(name).decode()) if name else None
        before = path.read_bytes() if path is not None and path.exists() else None
        code: int = self._system.open(ctypes.addressof(self._system), name, handle, flags, out)
        if code == OK and path is not None and flags & (_DATABASE | _JOURNALS):
            if path not in self._files or self._files[path].removed:
                journal = bool(flags & _JOURNALS)
                self._files[path] = _Kept(before or b"", before is not None, journal)
            self._open_files[handle] = path
            self._take_over(ctypes.cast(handle, ctypes.POINTER(_File)).contents)
        return code

    def _take_over(self, file: _File) -> None:
        """Put our methods in the place of the system's, which do all but what is changed."""
        system = file.methods.contents
        address = ctypes.addressof(system)
        if address not in self._methods:
            ours = _Methods.from_buffer_copy(system)
            ours.write, ours.truncate, ours.sync = self._write, self._truncate, self._sync
            self._methods[address] = (system, ours)
        file.methods = ctypes.pointer(self._methods[address][1])

    def _delete(self, _: int, name: int, sync_directory: int) -> int:
        path = Path(ctypes.string_at(name).decode())
        if fault := self._refusal(IO_ERROR_WRITE):
            return fault
        code: int = self._system.delete(ctypes.addressof(self._system), name, sync_directory)
        if path in self._files:
            self._files[path].removed = True
        if sync_directory:
            self._sync_directory()
        return code

    def _on_write(self, handle: int, data: int, size: int, offset: int) -> int:
        if fault := self._refusal(IO_ERROR_WRITE):
            return fault
        self._loose(handle).append(_Written(offset, ctypes.string_at(data, size)))
        code: int = self._of(handle).write(handle, data, size, offset)
        return code

    def _on_truncate(self, handle: int, size: int) -> int:
        if fault := self._refusal(IO_ERROR_WRITE):
            return fault
        self._loose(handle).append(_Cut(size))
        code: int = self._of(handle).truncate(handle, size)
        return code

    def _on_sync(self, handle: int, _: int) -> int:
        if fault := self._refusal(IO_ERROR_SYNC):
            return fault
        file = self._files[self._open_files[handle]]
        content = bytearray(file.durable)
        for change in file.loose:
            _apply(content, change)
        file.durable = bytes(content)
        file.loose.clear()
        if file.journal:
            file.journal = False
            self._sync_directory()
        return OK

    def _sync_directory(self) -> None:
        self._files = {path: file for path, file in self._files.items() if not file.removed}
        for file in self._files.values():
            file.named = True

    def _loose(self, handle: int) -> list[_Written | _Cut]:
        return self._files[self._open_files[handle]].loose

    def _of(self, handle: int) -> _Methods:
        """The system's own methods for this file."""
        ours = ctypes.cast(handle, ctypes.POINTER(_File)).contents.methods.contents
        address = ctypes.addressof(ours)
        return next(s for s, o in self._methods.values() if ctypes.addressof(o) == address)

    def _refusal(self, without_power: int) -> int:
        """Why a change cannot be made, as SQLite's code; 0 when it can."""
        if self.changes_left is not None:
            self.changes_left -= 1
            self.powered = self.powered and self.changes_left >= 0
        if not self.powered:
            return without_power
        fault = self._fault()
        return OK if fault == IO_ERROR_SYNC != without_power else fault


def _apply(
    content: bytearray,
    change: _Written | _Cut,
    chance: random.Random | None = None,
    kept: float = 1.0,
) -> None:
    """One change of a file; with `chance`, only the sectors that it leaves."""

    def stays() -> bool:
        return chance is None or chance.random() < kept

    if isinstance(change, _Cut):
        if stays():
            del content[change.size :]
        return
    end = change.offset + len(change.data)
    first = change.offset
    while first < end:
        last = min(end, first - first % SECTOR_BYTES + SECTOR_BYTES)
        if stays():
            content.extend(bytes(max(0, last - len(content))))
            content[first:last] = change.data[first - change.offset : last - change.offset]
        first = last


def _stale(content: bytes, chance: random.Random) -> bytes:
    sectors = [content[at : at + SECTOR_BYTES] for at in range(0, len(content), SECTOR_BYTES)]
    return b"".join(
        chance.choice([sector, bytes(len(sector)), chance.randbytes(len(sector))])
        for sector in sectors
    )
