"""Files for the tests of attachments, and accounts whose files are on a server of the test."""

import struct
import zlib

from hub import unique, wait_until
from platform_server import PlatformServer


def png(size=0):
    """A picture of one pixel, and bytes behind it that make it so large."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    picture = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    picture += chunk(b"IDAT", zlib.compress(b"\0\0\0\0")) + chunk(b"IEND", b"")
    filler = bytes(n * 7 % 251 for n in range(1_000))
    return picture + (filler * (size // 1_000 + 1))[: max(0, size - len(picture))]


class Source:
    """A custom account whose files are on a server of the test."""

    def __init__(self, user, answer, **credentials):
        self.server = PlatformServer(answer)
        self.user = user
        self.account = user.custom()
        credentials = {"apiURL": self.server.url} | credentials
        user.patch(f"/api/accounts/{self.account.id}", {"credentials": credentials})

    def say(self, *attachments, identifier=None, **more):
        identifier = identifier or unique("m")
        self.account.say(identifier, attachments=list(attachments), **more)
        [conversation] = self.user.conversations(account=self.account.id)
        return [m for m in self.user.messages(conversation["id"]) if m["externalId"] == identifier][0]

    def file(self, path="/a.png", kind="image", **more):
        return {"kind": kind, "url": path if "://" in path else self.server.url + path} | more


def settled(user, message, state, position=1, seconds=20):
    def look():
        one = user.get(f"/api/messages/{message['id']}")["attachments"][position - 1]
        return one["state"] == state and one

    return wait_until(look, seconds, f"{state} of {user.get('/api/messages/' + message['id'])['attachments']}")


def fetch(user, path, **headers):
    return user.hub.request("GET", path, token=user.token, headers=headers)
