"""Which encoding a text file is in, from a sample of its bytes.

    byte order mark -> UTF-8 -> UTF-16 without a mark -> GB18030 (GBK) -> cp1252 -> Latin-1

The first that fits. Nothing here knows of tables.
"""

import codecs

from ..errors import DataError


def sniff_encoding(sample: bytes) -> tuple[str, str]:
    """Returns a codec and a sentence about it, empty for UTF-8.

    A byte order mark decides; then UTF-8, UTF-16 without a mark, GB18030 (which includes GBK) where most of the
    characters are everyday Chinese, and cp1252 or Latin-1 as the last resort.

    Example:
        >>> sniff_encoding("日期,收盘".encode("gbk"))[0]
        'gb18030'
        >>> sniff_encoding("Größe;Zürich".encode("cp1252"))[0]
        'cp1252'
    """
    if sample.startswith(codecs.BOM_UTF8):
        return "utf-8-sig", "The file is UTF-8 with a byte order mark, which was left out."
    if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", "The file is UTF-16."
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if max(even, odd) > 0.3 * len(sample) / 2 and min(even, odd) <= 0.02 * len(sample):
        return ("utf-16-le" if odd > even else "utf-16-be"), "The file is UTF-16 without a byte order mark."
    if _decodes(sample, "utf-8"):
        return "utf-8", ""
    if _decodes(sample, "gb18030") and _is_chinese(sample):
        return "gb18030", "The file is not UTF-8; it is read as GB18030 (GBK). `encoding` names another."
    western = "cp1252" if _decodes(sample, "cp1252") else "latin-1"
    return western, f"The file is not UTF-8; it is read as {western}, the last resort. `encoding` names another."


def _decodes(sample: bytes, encoding: str) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)().decode(sample)  # a character cut at the sample's end is no error
    except UnicodeDecodeError:
        return False
    return True


def _is_chinese(sample: bytes) -> bool:
    # Level 1 of GB2312, the 3,755 everyday characters, has first bytes B0..D7; Western small letters have E0..FF.
    characters = [c.encode("gb18030") for c in codecs.getincrementaldecoder("gb18030")().decode(sample) if ord(c) > 127]
    common = sum(1 for c in characters if len(c) == 2 and 0xA1 <= c[0] <= 0xD7 and c[1] >= 0xA1)
    return 2 * common > len(characters)


def decode(sample: bytes, encoding: str, file: str) -> str:
    """Returns a sample as text; a character cut at its end is left out.

    Raises:
        DataError: It is not text in this encoding.
    """
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError as error:
        raise undecodable(file, encoding, error) from None
    if "\0" in text:
        raise DataError(
            f"A text file must not hold NUL bytes. Received: one among the first {len(sample):,} bytes of {file}, "
            "which is binary or damaged. Give a CSV or Parquet file."
        )
    return text


def undecodable(file: str, encoding: str, error: UnicodeDecodeError) -> DataError:
    """Returns the error for bytes that are not text in this encoding."""
    received = error.object[error.start : error.end].hex(" ")
    return DataError(
        f"{file} must be text in {encoding}. Received: the bytes {received}, which are not. "
        "Name the right `encoding`, such as utf-8, gb18030 or cp1252."
    )
