#!/usr/bin/env python3
"""Reads a snapshot file: checks its structures and CRCs and writes the member's raw image.

    read_snap.py FILE.snap OUT.raw [PARENT.raw]

PARENT.raw is the raw image of the parent of an incremental snapshot. Needs the `zstd` tool.

This is written from docs/FORMAT.md alone, as a proof that the page is complete, and for the day when
nothing else is at hand. It is slow, and it does not know BLAKE3, so it cannot prove what it reads as
snaprestore does: CRC-32 and zstd's own checksum are all it checks.
"""

import json
import struct
import subprocess
import sys
import zlib

MAGIC, PROJECT = 0x184D2A53, b"SNAPRST\x01"
MANIFEST, MAP_ROOT, SEGMENTS, COLUMNS, RECORD = 1, 2, 3, 4, 5
INDEX, DIRECTORY, ROOT, SEAL, FOOTER = 6, 7, 8, 9, 10


def need(condition, what):
    if not condition:
        sys.exit(f"damaged: {what}")


class Snapshot:
    def __init__(self, path):
        self.file = open(path, "rb")
        self.size = self.file.seek(0, 2)
        self.tag = None
        need(self.size > 232, "shorter than a footer")
        footer = self.frame(self.size - 232, FOOTER)
        need(len(footer) == 168 and not any(footer[152:]), "footer")
        (_, self.records_at, self.index_at, self.root_at, self.manifest_copy, self.map_copy,
         self.seal_at) = struct.unpack_from("<7Q", footer)
        footer_tag = self.tag
        self.tag = None
        text = self.frame(0, MANIFEST)
        need(self.tag == footer_tag, "footer of another file")
        need(self.frame(self.manifest_copy, MANIFEST) == text, "copy of the manifest")
        self.manifest = json.loads(text)
        need(self.manifest["format"] == {"version": 1, "required": [], "optional": []}, "version")
        roster = self.manifest["set"]["members"]
        self.member = roster[self.manifest["member"]]
        self.chunk_size = self.manifest["set"]["chunk_size"]
        self.chunks = -(-self.member["size"] // self.chunk_size)
        need(len(self.frame(self.seal_at, SEAL)) == 32 * len(roster), "seal")
        need(self.check_map(64 + len(text)) == self.records_at, "end of the extent map")
        if self.map_copy:
            self.check_map(self.map_copy)

    def read(self, at, length):
        self.file.seek(at)
        data = self.file.read(length)
        need(len(data) == length, f"cut off at {at}")
        return data

    def frame(self, at, kind):
        """The payload of the frame at `at`, which must be of `kind`."""
        head = self.read(at, 64)
        (magic, skip, project, found, flags, length, offset, tag, reserved, payload_crc,
         crc) = struct.unpack("<II8sHHIQ16s8sII", head)
        need(magic == MAGIC and project == PROJECT, f"no header at {at}")
        need(zlib.crc32(head[:60]) == crc, f"CRC of the header at {at}")
        need(offset == at and found == kind and flags == 1, f"header at {at}")
        need(skip == length + 56 and not any(reserved), f"header at {at}")
        need(length <= 1 << 20, f"length of the frame at {at}")
        need(self.tag in (None, tag), f"frame of another file at {at}")
        self.tag = tag
        payload = self.read(at + 64, length)
        need(zlib.crc32(payload) == payload_crc, f"CRC of the payload at {at}")
        return payload

    def check_map(self, at):
        """Reads the extent map at `at` into `segments`; returns where it ends."""
        root = self.frame(at, MAP_ROOT)
        described = self.manifest["set"]["extent_map"]
        size, segments, columns = struct.unpack_from("<QII", root)
        pages = -(-segments // 2048), -(-columns // 4096)
        need(len(root) == described["root_bytes"] == 16 + 32 * sum(pages), "extent map root")
        need(size == self.manifest["set"]["logical_size"], "logical size")
        at += 64 + len(root)
        tables = []
        for kind, count, length in (SEGMENTS, pages[0], 32), (COLUMNS, pages[1], 16):
            table = b""
            for _ in range(count):
                page = self.frame(at, kind)
                at += 64 + len(page)
                table += page
            tables.append([table[i:i + length] for i in range(0, len(table), length)])
        need([len(table) for table in tables] == [segments, columns], "extent map pages")
        columns = [struct.unpack("<IIQ", column) for column in tables[1]]
        end = first = 0
        self.segments = []
        for segment in tables[0]:
            start, length, stripe, column, width, kind = struct.unpack("<QQIIIB3x", segment)
            need(start == end and length and column == first, "segment")
            need(kind == min(width, 2) and (stripe >= 512 if kind == 2 else stripe == 0), "segment")
            need(kind != 2 or length % (stripe * width) == 0, "striped segment")
            end, first = start + length, column + width
            self.segments.append((start, length, stripe, columns[column:first]))
        need(end == size and first == len(columns), "end of the segments")
        return at

    def index(self):
        """All records, by way of the index; its pages must stand one behind the other."""
        root = self.frame(self.root_at, ROOT)
        totals = struct.unpack_from("<4Q", root, 8)
        at, records, directories = self.index_at, [], []
        for directory in self.entries(root[40:], struct.unpack_from("<I", root)[0]):
            pages = self.entries(self.frame(directory[3], DIRECTORY), directory[2])
            directories.append((directory[3], 64 + 64 * directory[2]))
            for _, _, count, offset, _ in pages:
                need(offset == at, f"index page at {offset}")
                page = self.frame(offset, INDEX)
                need(len(page) == 64 * count, f"index page at {offset}")
                records += [page[i:i + 64] for i in range(0, len(page), 64)]
                at += 64 + len(page)
        for offset, length in directories:
            need(offset == at, f"directory page at {offset}")
            at += length
        need(at == self.root_at, "index root")
        need(at + 64 + len(root) == self.manifest_copy, "end of the index")
        return records, totals

    @staticmethod
    def entries(table, count):
        need(len(table) == 64 * count, "entries")
        return [struct.unpack_from("<IIIxxxxQQ", table, i) for i in range(0, len(table), 64)]

    def restore(self, out, parent):
        records, totals = self.index()
        at, end, sums = self.records_at, 0, [0, 0, 0, 0]
        for record in records:
            need(self.frame(at, RECORD) == record, f"record header at {at}")
            first, count, kind, codec, flags, crc, offset, length = struct.unpack_from(
                "<IIBBHIQI", record)
            need(first >= end and count and kind in (1, 2, 3), f"record at {at}")
            self.inherit(end, first, out, parent)
            end = first + count
            need(end <= self.chunks, f"record at {at}")
            plain = min(end * self.chunk_size, self.member["size"]) - first * self.chunk_size
            sums[0] += 1
            sums[kind] += count
            at += 128
            frame = b""
            if codec:
                frame = self.read(offset, length)
                need(zlib.crc32(frame) == crc, f"CRC of chunk {first}")
                if not flags & 1:
                    need(offset == at, f"frame of chunk {first}")
                    at += length
            if kind == 1:
                data = subprocess.run(["zstd", "-dcq"], input=frame, capture_output=True, check=True)
                need(len(data.stdout) == plain, f"length of chunk {first}")
                out.write(data.stdout)
            else:
                need((codec == 1) == self.manifest["stream"], f"zeros at chunk {first}")
                need(not codec or self.is_zero_frame(frame, plain), f"zero frame at chunk {first}")
                out.write(bytes(plain))
        self.inherit(end, self.chunks, out, parent)
        need(at == self.index_at, "end of the records")
        need(tuple(sums) == totals, "totals")

    def inherit(self, first, end, out, parent):
        """Chunks without a record are the parent's."""
        if first == end:
            return
        need(self.member["parent"] and parent, f"chunk {first} has no record, and no parent is given")
        parent_size = parent.seek(0, 2)
        length = min(end * self.chunk_size, self.member["size"]) - first * self.chunk_size
        whole = min(parent_size, self.member["size"]) // self.chunk_size
        need(parent_size == self.member["size"] or end <= whole, "inherits beyond the parent's end")
        parent.seek(first * self.chunk_size)
        out.write(parent.read(length))

    @staticmethod
    def is_zero_frame(frame, plain):
        """All but the XXH64 at its end, which Python does not have."""
        expected = b"\x28\xb5\x2f\xfd\xc4\x38" + struct.pack("<Q", plain)
        left = plain
        while left:
            block = min(left, 131072)
            left -= block
            expected += struct.pack("<I", block * 8 + 2 + (left == 0))[:3] + b"\0"
        return frame[:-4] == expected


def main(path, target, parent=None):
    snapshot = Snapshot(path)
    with open(target, "wb") as out:
        snapshot.restore(out, open(parent, "rb") if parent else None)


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
