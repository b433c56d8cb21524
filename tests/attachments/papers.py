"""Files of every type that is taken, made here as their standards have them."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Final

from countersign.attachments.content import DOCX, ODS, ODT, PPTX, XLSX


def pdf(text: str = "A paper") -> bytes:
    """One page with a line of text."""
    page = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        (
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
            b"/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>"
        ),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(page), page),
    ]
    made = bytearray(b"%PDF-1.4\n")
    places = []
    for number, one in enumerate(objects, start=1):
        places.append(len(made))
        made += b"%d 0 obj\n%s\nendobj\n" % (number, one)
    start = len(made)
    made += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    made += b"".join(b"%010d 00000 n \n" % place for place in places)
    made += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(made)


def png() -> bytes:
    """One white point."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + check

    header = (1).to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\x00\xff"))
        + chunk(b"IEND", b"")
    )


def jpeg() -> bytes:
    """What begins and ends as one; no more is looked at."""
    return b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + b"\x01" * 40 + b"\xff\xd9"


def archive(files: Mapping[str, bytes], *, stored: bool = False) -> bytes:
    """A ZIP archive."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return made.getvalue()


def saying_less(files: Mapping[str, bytes], packed: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP archive that says of every file that it has a hundred bytes."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", packed) as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    said = bytearray(made.getvalue())
    for mark, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        found = said.find(mark)
        while found >= 0:
            struct.pack_into("<L", said, found + place, 100)
            found = said.find(mark, found + 4)
    return bytes(said)


def listing(files: int) -> bytes:
    """What begins as a ZIP archive and lists so many files, of which it has none."""
    one = b"PK\x01\x02\x14\x00\x14" + b"\x00" * 21 + b"\x01" + b"\x00" * 17 + b"a"
    begun = b"PK\x03\x04" + b"\x00" * 26
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0, 0, files * len(one), len(begun), 0)
    return begun + one * files + end


def damaged(content: bytes, place: int, by: bytes) -> bytes:
    """The same with other bytes in one place."""
    place %= len(content)
    return content[:place] + by + content[place + len(by) :]


def office(name: str, part: str, **more: bytes) -> bytes:
    """An Office Open XML file, whose main part is of that type."""
    types = (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        f'<Override PartName="/{part}" ContentType="{name}.main+xml"/></Types>'
    )
    return archive({"[Content_Types].xml": types.encode(), part: b"<document/>", **more})


def open_document(name: str, *, stored: bool = True) -> bytes:
    """An OpenDocument file."""
    return archive({"mimetype": name.encode(), "content.xml": b"<office/>"}, stored=stored)


PAPERS: Final[dict[str, tuple[bytes, str]]] = {
    "pdf": (pdf(), "application/pdf"),
    "png": (png(), "image/png"),
    "jpeg": (jpeg(), "image/jpeg"),
    "text": ("Naïve, שלום, Azərbaycan\r\n\tand so on\f".encode(), "text/plain"),
    "text with a mark": (b"\xef\xbb\xbfa;b\n1;2\n", "text/plain"),
    "docx": (office(DOCX.name, "word/document.xml"), DOCX.name),
    "xlsx": (office(XLSX.name, "xl/workbook.xml"), XLSX.name),
    "pptx": (office(PPTX.name, "ppt/presentation.xml"), PPTX.name),
    "odt": (open_document(ODT.name), ODT.name),
    "ods": (open_document(ODS.name), ODS.name),
}
"""Content, and what it is."""

_MACROS: Final = "application/vnd.ms-word.document.macroEnabled"

REFUSED: Final[dict[str, bytes]] = {
    "nothing": b"",
    "a page of the web that says it is text": b"<script>\x00</script>",
    "a program of Windows": b"MZ\x90\x00" + b"\x00" * 60,
    "a program of Linux": b"\x7fELF\x02\x01\x01" + b"\x00" * 60,
    "a PDF that is cut off": pdf()[:-200],
    "a PDF with something hidden behind it": pdf() + b"\x00" * 4096,
    "a PNG that is cut off": png()[:-4],
    "a PNG with an archive behind it": png() + archive({"a": b"b"}),
    "a JPEG that is cut off": jpeg()[:-1],
    "an archive of anything": archive({"run.exe": b"MZ"}),
    "an archive whose content is damaged": damaged(
        archive({"[Content_Types].xml": b"<Types/>" * 100}), 30 + len("[Content_Types].xml"), b"\xff" * 12
    ),
    "an archive that begins before itself": damaged(archive({"[Content_Types].xml": b"x"}), -6, b"\xff\x0f"),
    "an archive that is cut off": office(DOCX.name, "word/document.xml")[:-30],
    "a document with macros": office(_MACROS, "word/document.xml"),
    "a document that hides its macros": office(
        DOCX.name, "word/document.xml", **{"word/vbaProject.bin": b"\xd0\xcf"}
    ),
    "an OpenDocument file with macros": archive(
        {"mimetype": ODT.name.encode(), "Basic/Standard/Module1.xml": b"<script/>"}, stored=True
    ),
    "an OpenDocument file that says late what it is": archive(
        {"content.xml": b"<office/>", "mimetype": ODT.name.encode()}, stored=True
    ),
    "a bomb": archive(
        {"[Content_Types].xml": b"", "word/document.xml": b"\x00" * ((1 << 20) * 2)}
        | {f"word/media/{i}": b"" for i in range(10_001)}
    ),
    "text in another encoding": "ə".encode("utf-16"),
    "text that breaks off in the middle of a letter": "ə".encode()[:1],
    "an old Word file": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 500,
    "an SVG with a control character": b"<svg>\x1b</svg>",
}
