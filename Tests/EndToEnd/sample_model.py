"""What the items of a sample come to, whatever their order: the end state that the hub has to show.

Written from the meaning of the items, not from the hub's code: the newest edit shows, a deletion is final,
reactions are what their actors last said, a status only climbs.
"""

import json

LADDER = ["queued", "sent", "failed", "delivered", "read"]


def rank(status):
    return LADDER.index(status) if status else -1


class Model:
    """Conversations by the platform's id, each with its messages by theirs."""

    def __init__(self, items):
        self.items = items
        self.moved = {
            item["conversation"]["id"]: item["migratedTo"] for item in items if item.get("migratedTo")
        }
        self.messages = {}
        for item in self.of("message"):
            self.messages.setdefault(self.key(item), Message(item))
        for item in items:
            message = self.messages.get(self.key(item)) if "id" in item else None
            if message:
                message.changes.append(item)
        for item in self.of("message.deleted"):
            for identifier in item["ids"]:
                message = self.messages.get((item["conversation"]["id"], identifier))
                if message:
                    message.changes.append(item)
        for item in self.of("read"):
            for (conversation, _), message in self.messages.items():
                if conversation == item["conversation"]["id"] and self.covers(item, message):
                    message.is_read = True

    def of(self, kind):
        return [item for item in self.items if item["type"] == kind]

    @staticmethod
    def key(item):
        return item["conversation"]["id"], item["id"]

    def covers(self, mark, message):
        """Whether the other side has read one of our messages: it stands before the mark."""
        if message.item["direction"] != "outbound":
            return False
        if "time" in mark["upTo"]:
            return message.item["sentAt"] <= mark["upTo"]["time"]
        last = self.messages.get((mark["conversation"]["id"], mark["upTo"]["id"]))
        return last is not None and message.place <= last.place

    def conversations(self):
        """The ids under which conversations with messages are found."""
        return sorted({self.moved.get(conversation, conversation) for conversation, _ in self.messages})

    def shown(self, conversation):
        """The messages of a conversation, by the platform's id."""
        return {
            identifier: message.shown()
            for (place, identifier), message in self.messages.items()
            if self.moved.get(place, place) == conversation
        }

    def unread(self, conversation):
        shown = self.shown(conversation).values()
        return sum(message["direction"] == "inbound" and not message["deletedAt"] for message in shown)

    def title(self, conversation):
        """The newest title that is not missing."""
        titles = []
        for item in self.items:
            place = item["conversation"]["id"]
            if self.moved.get(place, place) == conversation and item["conversation"].get("title"):
                if item["type"] in ("message", "conversation"):
                    at = item.get("sentAt") or item.get("at")
                    titles.append((at, item.get("order", 0), item["conversation"]["title"]))
        return max(titles)[2] if titles else None


class Message:
    def __init__(self, item):
        self.item = item
        self.changes = []
        self.is_read = False

    @property
    def place(self):
        return self.item["sentAt"], self.item.get("order", 0)

    def of(self, kind):
        return [change for change in self.changes if change["type"] == kind]

    def shown(self):
        item = self.item
        edits = sorted(self.of("message.edited"), key=lambda edit: (edit["at"], edit["order"]))
        content = edits[-1] if edits else item
        details = content.get("details")
        if item.get("albumId") and not edits:
            details = (details or {}) | {"albumId": item["albumId"]}
        deleted = min((change["at"] for change in self.of("message.deleted")), default=None)
        return {
            "direction": item["direction"],
            "kind": content["kind"],
            "text": None if deleted else content.get("text"),
            "attachments": [] if deleted else [attachment(one) for one in content.get("attachments", [])],
            "details": None if deleted else without_links(details, content.get("attachments", [])),
            "sender": {"name": None} | item["sender"],
            "replyTo": item.get("replyTo"),
            "threadId": item.get("threadId"),
            "sentAt": item["sentAt"],
            "editedAt": edits[-1]["at"] if edits else None,
            "deletedAt": deleted,
            "reactions": self.reactions(),
            "status": self.status(),
        }

    def reactions(self):
        """Who reacts with what."""
        held = {}
        for item in sorted(self.of("reaction"), key=lambda item: (item["at"], item["order"])):
            emoji = held.setdefault(item["actor"]["id"], set())
            change = item["change"]
            if "replace" in change:
                emoji.clear()
                emoji.update(change["replace"])
            elif "add" in change:
                emoji.add(change["add"])
            else:
                emoji.discard(change["remove"])
        return sorted((emoji, actor) for actor, all_emoji in held.items() for emoji in all_emoji)

    def status(self):
        said = [self.item.get("status")] + [change["status"] for change in self.of("status")]
        if self.is_read:
            said.append("read")
        return max(said, key=rank)


def without_links(details, files):
    """Details never say where the platform has a file: a mark stands for the hub's own link."""
    text = json.dumps(details, ensure_ascii=False)
    links = [(file["url"], position) for position, file in enumerate(files, 1) if file.get("url")]
    for link, position in sorted(links, key=lambda one: (-len(one[0]), one[1])):
        for written in (link, link.replace("&", "&amp;")):
            text = text.replace(written, f"<file {position}>")
    return json.loads(text)


def attachment(item):
    """As the API names its members. Where the platform has the file, it does not say; a part of a mail has its name."""
    named = {"mime" if name == "mimeType" else name: value for name, value in item.items()}
    hidden = ["url"] if item.get("externalId", "").startswith("part:") else ["url", "externalId"]
    return {name: value for name, value in named.items() if value is not None and name not in hidden}


def link_of(message, position):
    return f"/api/messages/{message['id']}/attachments/{position}"


def shown_attachment(one, message, position):
    """An attachment of the API without what the hub adds: where it serves the file, and how far it has got."""
    assert one["url"] == link_of(message, position), one
    assert one["position"] == position and one["state"] in ("remote", "failed", "stored"), one
    if one["state"] == "stored":
        assert one["externalId"].startswith("part:"), "only what came with the message can be had"
    return {name: value for name, value in one.items() if name not in ("url", "position", "state", "reason")}


def shown_details(message):
    text = json.dumps(message["details"], ensure_ascii=False)
    for position in range(len(message["attachments"]), 0, -1):
        text = text.replace(link_of(message, position), f"<file {position}>")
    return json.loads(text)


def seen(message):
    """A message of the API in the model's terms."""
    return {
        name: message[name]
        for name in ("direction", "kind", "text", "threadId", "sentAt", "editedAt", "deletedAt", "status")
    } | {
        "details": shown_details(message),
        "attachments": [
            shown_attachment(one, message, position) for position, one in enumerate(message["attachments"], 1)
        ],
        "sender": message["sender"],
        "replyTo": message["replyTo"] and message["replyTo"]["externalId"],
        "reactions": sorted(
            (reaction["emoji"], actor["id"]) for reaction in message["reactions"] for actor in reaction["actors"]
        ),
    }
