#!/usr/bin/env python3
"""Runs commands on a MongoDB server, without a shell, a driver or JavaScript.

Usage: mongo.py mongodb://HOST:PORT/ DATABASE COMMAND…

COMMAND is JSON, as in '{"count": "orders"}'; `-` reads one command a line from standard
input. Each answer is printed as one line of JSON; the first that is an error ends the run
with 1. Values that JSON has no type for are written as {"$oid": HEX}, {"$date": MILLISECONDS},
{"$long": N}, {"$binary": BASE64} and {"$timestamp": [SECONDS, ORDINAL]}.
"""

import base64
import json
import socket
import struct
import sys
from urllib.parse import urlsplit

# kind byte and content of each extended value: https://bsonspec.org/spec.html
EXTENDED = {
    "$oid": (0x07, bytes.fromhex),
    "$date": (0x09, lambda ms: struct.pack("<q", ms)),
    "$long": (0x12, lambda n: struct.pack("<q", n)),
    "$binary": (0x05, lambda text: (lambda b: struct.pack("<ib", len(b), 0) + b)(base64.b64decode(text))),
    "$timestamp": (0x11, lambda pair: struct.pack("<II", pair[1], pair[0])),
}


def encode(document):
    """The BSON of a dict, or of a list as one."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    body = b"".join(element(str(name), value) for name, value in items)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def element(name, value):
    """One name with its value."""
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in EXTENDED:
        key, content = next(iter(value.items()))
        kind, data = EXTENDED[key][0], EXTENDED[key][1](content)
    elif isinstance(value, (dict, list)):
        kind, data = (0x03 if isinstance(value, dict) else 0x04), encode(value)
    elif isinstance(value, str):
        text = value.encode() + b"\0"
        kind, data = 0x02, struct.pack("<i", len(text)) + text
    elif value is None:
        kind, data = 0x0A, b""
    elif isinstance(value, bool):
        kind, data = 0x08, bytes([value])
    elif isinstance(value, float):
        kind, data = 0x01, struct.pack("<d", value)
    elif -(2**31) <= value < 2**31:
        kind, data = 0x10, struct.pack("<i", value)
    else:
        kind, data = 0x12, struct.pack("<q", value)
    return bytes([kind]) + name.encode() + b"\0" + data


def decode(data, start=0, array=False):
    """The document at an offset, and where it ends."""
    end = start + struct.unpack_from("<i", data, start)[0]
    names, values, at = [], [], start + 4
    while data[at]:
        kind, stop = data[at], data.index(0, at + 1)
        names.append(data[at + 1 : stop].decode())
        value, at = decode_value(kind, data, stop + 1)
        values.append(value)
    return (values if array else dict(zip(names, values))), end


def decode_value(kind, data, at):
    """The value at an offset, and where it ends."""
    fixed = {0x01: "<d", 0x08: "<?", 0x09: "<q", 0x10: "<i", 0x12: "<q"}
    if kind in fixed:
        value = struct.unpack_from(fixed[kind], data, at)[0]
        return ({"$date": value} if kind == 0x09 else value), at + struct.calcsize(fixed[kind])
    if kind in (0x03, 0x04):
        return decode(data, at, kind == 0x04)
    if kind in (0x06, 0x0A, 0x7F, 0xFF):
        return {0x06: None, 0x0A: None, 0x7F: {"$maxKey": 1}, 0xFF: {"$minKey": 1}}[kind], at
    if kind == 0x07:
        return {"$oid": data[at : at + 12].hex()}, at + 12
    if kind == 0x11:
        ordinal, seconds = struct.unpack_from("<II", data, at)
        return {"$timestamp": [seconds, ordinal]}, at + 8
    if kind == 0x13:
        return {"$decimal": data[at : at + 16].hex()}, at + 16
    if kind in (0x02, 0x0D, 0x0E):
        end = at + 4 + struct.unpack_from("<i", data, at)[0]
        return data[at + 4 : end - 1].decode(), end
    if kind == 0x05:
        end = at + 5 + struct.unpack_from("<i", data, at)[0]
        return {"$binary": base64.b64encode(data[at + 5 : end]).decode()}, end
    if kind == 0x0B:
        middle = data.index(0, at)
        end = data.index(0, middle + 1)
        return {"$regex": data[at:middle].decode(), "$options": data[middle + 1 : end].decode()}, end + 1
    raise ValueError(f"a value of BSON type {kind:#x} in the answer")


def run(server, database, command):
    """Sends a command as OP_MSG and gives the answer."""
    body = struct.pack("<IB", 0, 0) + encode({**command, "$db": database})
    server.sendall(struct.pack("<iiii", len(body) + 16, 1, 0, 2013) + body)
    size = struct.unpack("<i", read(server, 4))[0]
    # the rest of the header, flags and kind of section: 12 + 4 + 1 bytes
    return decode(read(server, size - 4)[17:])[0]


def read(server, size):
    """So many bytes."""
    data = bytearray()
    while len(data) < size:
        part = server.recv(min(size - len(data), 1 << 20))
        if not part:
            raise ConnectionError("the server closed the connection")
        data += part
    return bytes(data)


def main(arguments):
    """Runs the commands."""
    if len(arguments) < 3 or "-h" in arguments or "--help" in arguments:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    url, database, commands = urlsplit(arguments[0]), arguments[1], arguments[2:]
    try:
        server = socket.create_connection((url.hostname, url.port or 27017), timeout=10)
        server.settimeout(3600)
        for command in commands:
            for line in (line for line in sys.stdin if line.strip()) if command == "-" else [command]:
                answer = run(server, database, json.loads(line))
                print(json.dumps(answer, ensure_ascii=False))
                if answer.get("ok") != 1 or "writeErrors" in answer:
                    return 1
    except (OSError, ValueError) as error:
        print(f"mongo.py: {arguments[0]}: {error}", file=sys.stderr)
        return 1
    return 0


sys.exit(main(sys.argv[1:]))
