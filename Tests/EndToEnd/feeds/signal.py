"""signal-cli-rest-api in its mode `native`: what `/v1/receive` gives out, it forgets."""

import time
from urllib.parse import unquote

import feeds

NUMBER = "+33123456789"
ANA = {
    "source": "+33611111111",
    "sourceNumber": "+33611111111",
    "sourceUuid": "b1b1b1b1-0000-4000-8000-000000000001",
    "sourceName": "Ana",
    "sourceDevice": 1,
}
OWN = {
    "source": NUMBER,
    "sourceNumber": NUMBER,
    "sourceUuid": "a0a0a0a0-0000-4000-8000-000000000000",
    "sourceName": "Hub",
    "sourceDevice": 2,
}
GROUP = {"groupId": "ZmFrZSBncm91cCBpZA==", "groupName": "Launch", "revision": 3, "type": "DELIVER"}


class Feed(feeds.Feed):
    platform = "signal"
    finds = frozenset({"edit", "delete", "react"})
    has_history = False
    has_webhook = False

    def __init__(self):
        super().__init__()
        self.waiting = []
        self.last = 0
        self.asking = 0

    def credentials(self):
        return {"token": self.token, "server": self.server.url, "number": NUMBER, "uuid": OWN["sourceUuid"]}

    def stamp(self):
        self.last = max(self.last + 1, int(time.time() * 1000))
        return self.last

    def add(self, sender, stamp, **kind):
        with self.lock:
            times = {"timestamp": stamp, "serverReceivedTimestamp": stamp, "serverDeliveredTimestamp": stamp}
            self.waiting.append({"envelope": sender | times | kind, "account": NUMBER})
            self.lock.notify_all()

    def data(self, stamp, place, **more):
        data = {"timestamp": stamp, "message": None, "expiresInSeconds": 0, "viewOnce": False} | more
        return data | ({"groupInfo": GROUP} if place else {})

    def say(self, text, at=None, place=0, own=False):
        with self.lock:
            stamp = int(at * 1000) if at is not None else self.stamp()
            data = self.data(stamp, place, message=text)
            if own:
                to = {"destination": ANA["source"], "destinationNumber": ANA["source"]}
                to |= {"destinationUuid": ANA["sourceUuid"]}
                self.add(OWN, stamp, syncMessage={"sentMessage": data if place else to | data})
            else:
                self.add(ANA, stamp, dataMessage=data)
            return {"stamp": stamp, "place": place, "own": own}

    def edit(self, message, text):
        stamp = self.stamp()
        data = self.data(stamp, message["place"], message=text)
        self.add(ANA, stamp, editMessage={"targetSentTimestamp": message["stamp"], "dataMessage": data})

    def delete(self, message):
        stamp = self.stamp()
        gone = {"timestamp": message["stamp"]}
        self.add(ANA, stamp, dataMessage=self.data(stamp, message["place"], remoteDelete=gone))

    def react(self, message):
        stamp = self.stamp()
        author = OWN if message["own"] else ANA
        reaction = {
            "emoji": "👍",
            "targetAuthor": author["source"],
            "targetAuthorNumber": author["sourceNumber"],
            "targetAuthorUuid": author["sourceUuid"],
            "targetSentTimestamp": message["stamp"],
            "isRemove": False,
        }
        self.add(ANA, stamp, dataMessage=self.data(stamp, message["place"], reaction=reaction))

    def authorise(self, call):
        if self.revoked:
            raise feeds.Refused(400, {"error": f"User {NUMBER} is not registered."})

    def route(self, call):
        self.wants(call, call.method == "GET", "only reading is expected")
        self.wants(call, unquote(call.path) == f"/v1/receive/{NUMBER}", "another path")
        known = ("timeout", "max_messages", "ignore_attachments", "ignore_stories", "ignore_avatars")
        known += ("ignore_stickers", "send_read_receipts")
        given = self.check(call, call.query, (), known)
        most = self.whole(call, given, "max_messages", 1 << 30, 1, 1 << 30)
        wait = self.whole(call, given, "timeout", 1, 0, 60)
        self.wants(
            call, given.get("send_read_receipts", "false") == "false", "receipts that nobody asked for"
        )
        # signal-cli takes one command of an account at a time.
        self.asking += 1
        self.wants(call, self.asking == 1, "two at once")
        deadline = time.monotonic() + min(wait, 1)
        while not self.waiting and not self.refusals and self.lock.wait(max(0, deadline - time.monotonic())):
            pass
        self.asking -= 1
        told, self.waiting = self.waiting[:most], self.waiting[most:]
        return 200, told

    def limits(self):
        body = {"error": "Rate limit exceeded", "challenge_tokens": ["4d1b"], "account": NUMBER}
        return [("Retry-After", 2, (429, body, {"Retry-After": "2"}))]
