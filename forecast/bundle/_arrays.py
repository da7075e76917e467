"""Looks into an npz file before anything reads it: plain numbers and text only, and no more than is claimed.

    pipeline.npz, a zip
    |- factor.npy     magic - header: shape, dtype - bytes      the header is read, the bytes are only counted
    `- shift.npy      ...

`numpy.load(allow_pickle=False)` refuses pickled objects by itself, but only when it meets them, and it allocates
whatever a header claims. This module says so earlier, and as a `BundleError`.
"""

import math
import zipfile
from pathlib import Path

from pipelines.errors import BundleError

# All arrays of a file, uncompressed: this many bytes, or this many times the file, whichever is more.
MAX_BYTES, MAX_EXPANSION = 256 * 2**20, 100


def check_arrays(path: Path) -> None:
    """Checks an npz file without reading its arrays.

    Raises:
        BundleError: It holds pickled objects, or arrays that claim more than they hold, or is no npz file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            names = [info.filename for info in infos]
            limit = max(MAX_BYTES, MAX_EXPANSION * path.stat().st_size)
            size = sum(info.file_size for info in infos)
            if size > limit:
                raise _error(path, f"at most {limit:,} bytes of arrays", f"{size:,} bytes in a file of few")
            if len(set(names)) < len(names):
                raise _error(path, "every array once", "one name twice")
            for info in infos:
                _check_array(archive, info, path)
    except (OSError, zipfile.BadZipFile, EOFError, ValueError, RuntimeError) as error:
        raise _error(path, "arrays in numpy's npz format", str(error)) from None


def _check_array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> None:
    from numpy.lib import format as npy

    with archive.open(info) as file:
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{info.filename} of npy version {version}")
        shape, _, dtype = npy.read_array_header_1_0(file) if version == (1, 0) else npy.read_array_header_2_0(file)
        held = info.file_size - file.tell()
    if dtype.hasobject:
        received = f"{info.filename} with pickled Python objects, which can run any code when read"
        raise _error(path, "numbers and text only", received)
    if math.prod(shape) * dtype.itemsize != held:
        raise _error(path, "arrays as large as they claim", f"{info.filename} of shape {shape} in {held:,} bytes")


def _error(path: Path, rule: str, received: str) -> BundleError:
    return BundleError(
        f"{path.name} must hold {rule}. Received: {received}, in {path.parent}. Do not load it; copy the version again "
        "from a source you trust, or save the model again."
    )
