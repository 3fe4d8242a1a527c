"""Unpacks an artifact of a workflow: a zip that holds one .tar.gz, which holds regular files and folders.

Anything else is refused before a file is written: links, devices, absolute names, `..`, names that occur twice, more than the bounds. Files are
unpacked beside the target and moved into it when all of them have been read. An existing file is never replaced by another content.
"""

import filecmp
import gzip
import os
import pathlib
import shutil
import tarfile
import tempfile
import zipfile
import zlib

MAX_MEMBERS = 100_000
# programs and an image have some 0.5 GB; a damaged or hostile archive must not fill the disk
MAX_BYTES = 4 * 1024**3
# only these folders of a checkout take new files: a new file in scripts/, for one, could be run by the next step
OUTPUT_FOLDERS = ("data", "models", "summary")


class ArchiveError(Exception):
    """An archive that is not unpacked, and why."""


class BoundedReader:
    """Reads a stream up to `limit` bytes and raises ArchiveError beyond."""

    def __init__(self, stream, limit):
        self.stream, self.limit, self.count = stream, limit, 0

    def read(self, size=-1):
        chunk = self.stream.read(self.limit - self.count + 1 if size < 0 else min(size, self.limit - self.count + 1))
        self.count += len(chunk)
        if self.count > self.limit:
            raise ArchiveError(f"has more than {self.limit:,} bytes unpacked")
        return chunk


def extract_tar(archive, name, target):
    """Writes the one file `name` of the zip `archive` to `target`."""
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [entry.filename for entry in opened.infolist()]
            if entries != [name]:
                raise ArchiveError(f"holds {ascii(entries[:3])[1:-1] or 'nothing'}, and not {name} alone")
            with opened.open(name) as source, open(target, "wb") as written:
                shutil.copyfileobj(BoundedReader(source, MAX_BYTES), written)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise ArchiveError(f"is not a readable zip: {error}") from error


def unpack_tar(archive, folder):
    """Adds the files of the .tar.gz `archive` to `folder`; nothing is added if one of them is refused."""
    folder = pathlib.Path(folder)
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=folder) as staging:
        staging = pathlib.Path(staging)
        try:
            with gzip.open(archive) as stream, tarfile.open(fileobj=BoundedReader(stream, MAX_BYTES), mode="r|") as opened:
                directories, files = extract_members(opened, staging)
        except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, UnicodeError, ValueError, MemoryError) as error:
            raise ArchiveError(f"is not a readable .tar.gz: {error}") from error
        for name in [*directories, *files]:
            check_target(folder, name, staging / name if name in files else None)
        for name in directories:
            (folder / name).mkdir(parents=True, exist_ok=True)
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(staging / name, folder / name)


def extract_members(opened, staging):
    """Writes the members of an open tar below `staging`; returns the names of its folders and of its files."""
    directories, files = {}, {}
    for count, member in enumerate(opened, start=1):
        if count > MAX_MEMBERS:
            raise ArchiveError(f"has more than {MAX_MEMBERS:,} members")
        name = member_path(member)
        if name in files:
            raise ArchiveError(f"holds {ascii(member.name)} twice")
        try:
            if member.isdir():
                (staging / name).mkdir(parents=True, exist_ok=True)
                directories[name] = None
                continue
            files[name] = None
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            with open(staging / name, "xb") as written:
                shutil.copyfileobj(opened.extractfile(member), written)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise ArchiveError(f"holds {ascii(member.name)} as a file and as a folder") from error
        (staging / name).chmod(0o755 if member.mode & 0o100 else 0o644)
    if not files:
        raise ArchiveError("holds no file")
    return directories, files


def member_path(member):
    """The relative path of a member that may be unpacked."""
    shown = ascii(member.name)
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE) or member.issparse():
        raise ArchiveError(f"holds {shown}, which is neither a regular file nor a folder")
    parts = pathlib.PurePosixPath(member.name).parts
    if not (parts or member.isdir()) or member.name.startswith("/") or ".." in parts or not member.name.isprintable():
        raise ArchiveError(f"holds {shown}, which is no path below the folder that it is unpacked in")
    return str(pathlib.PurePosixPath(*parts))


def check_target(folder, name, staged):
    """Refuses to replace or to pass through what `folder` already has; `staged` is the new file, or None for a folder."""
    parts = pathlib.PurePosixPath(name).parts
    for depth in range(1, len(parts)):
        parent = folder.joinpath(*parts[:depth])
        if os.path.lexists(parent) and (parent.is_symlink() or not parent.is_dir()):
            raise ArchiveError(f"holds {ascii(name)}, but {ascii('/'.join(parts[:depth]))} here is not a folder")
    target = folder / name
    if not os.path.lexists(target):
        if len(parts) > 1 and parts[0] not in OUTPUT_FOLDERS and os.path.lexists(folder / parts[0]):
            raise ArchiveError(f"holds {ascii(name)}: outputs add no files to the folder {ascii(parts[0])} that is here")
    elif target.is_symlink() or target.is_dir() != (staged is None):
        raise ArchiveError(f"holds {ascii(name)}, which is something else here")
    elif staged and not filecmp.cmp(target, staged, shallow=False):
        raise ArchiveError(f"holds {ascii(name)} with another content than the file here, which is not replaced")
