"""Telegram: https://core.telegram.org/bots/api, Bot API 10."""

import json
import secrets
import time

import aiogram.methods
import aiogram.types

from contracts.base import Contract, Limit, Made, OffContract, compact, parts_of


class Telegram(Contract):
    platform = "telegram"
    files = "upload"
    has_albums = True
    place = "111"
    inbound_id = "1100"
    longest = "👋" * 2048

    chat = {"id": 111, "type": "private", "first_name": "Ana"}
    connection = None

    METHODS = {
        "sendMessage",
        "sendPhoto",
        "sendDocument",
        "sendMediaGroup",
        "editMessageText",
        "editMessageCaption",
        "deleteMessage",
        "setMessageReaction",
        "sendChatAction",
        "deleteBusinessMessages",
    }

    def __init__(self):
        super().__init__()
        self.token = f"123456:{secrets.token_urlsafe(26)}"
        self.secret = secrets.token_urlsafe(16)

    def webhook_credentials(self):
        return {"webhookSecret": self.secret}

    def sending_credentials(self):
        return {"botToken": self.token, "apiURL": self.url}

    def inbound(self, account):
        return self.update({"message": self.said()})

    def said(self, **more):
        return {
            "message_id": int(self.inbound_id),
            "date": int(time.time()),
            "text": "hello",
            "from": {"id": 111, "first_name": "Ana", "is_bot": False},
            "chat": self.chat,
        } | more

    def update(self, update):
        headers = {"Content-Type": "application/json", "X-Telegram-Bot-Api-Secret-Token": self.secret}
        return headers, compact({"update_id": 10_000_101 + len(self.made)} | update)

    @staticmethod
    def error(code, words, **parameters):
        body = {"ok": False, "error_code": code, "description": words}
        return code, body | ({"parameters": parameters} if parameters else {})

    def limits(self):
        return {
            "body": Limit(self.error(429, "Too Many Requests: retry after 2", retry_after=2), 2),
            # A proxy in front of a local Bot API server.
            "header": Limit(
                (429, b"<html>slow down</html>", {"Retry-After": "2", "Content-Type": "text/html"}), 2
            ),
        }

    def refusal(self):
        return self.error(403, "Forbidden: bot was blocked by the user"), "bot was blocked by the user"

    def broken(self):
        return self.error(500, "Internal Server Error")

    def unauthorised(self):
        return self.error(401, "Unauthorized")

    def route(self, call):
        _, bot, method = call.path.split("/")
        self.refuse_if(self.is_revoked, self.unauthorised())
        self.require(bot == f"bot{self.token}", self.unauthorised(), "the token is another")
        self.require(
            call.method == "POST" and method in self.METHODS, self.error(404, "Not Found"), "no such method"
        )
        values = self.values(call)
        if method != "deleteBusinessMessages":
            wrong = self.error(400, "Bad Request: chat not found")
            self.require(values.pop("chat_id", None) == self.chat["id"], wrong, "another chat")
            given = values.pop("business_connection_id", None)
            self.require(given == self.connection, wrong, f"connection {given}")
        answer = getattr(self, method)(call, values)
        self.require(not values, self.error(400, "Bad Request"), f"unknown parameters {sorted(values)}")
        return answer

    def values(self, call):
        """Parameters as the Bot API takes them: of JSON, or of forms, in which what is no string is JSON."""
        if call.headers["content-type"].startswith("application/json"):
            return dict(call.json)
        values = {}
        for name, [part] in parts_of(call).items():
            if part.filename is not None:
                values[name] = part
            elif name in ("caption", "text", "parse_mode", "business_connection_id"):
                values[name] = part.text
            else:
                values[name] = json.loads(part.text)
        return values

    def message(self, number, **more):
        document = {
            "message_id": 9000 + number,
            "date": int(time.time()),
            "chat": self.chat,
            "from": {"id": 123456, "is_bot": True, "first_name": "Hub"},
        } | more
        aiogram.types.Message.model_validate(document)
        return document

    def reply(self, values):
        given = values.pop("reply_parameters", None)
        if given is None:
            return None
        unknown = set(given) - {"message_id", "chat_id", "allow_sending_without_reply", "quote"}
        bad = self.error(400, "Bad Request: can't parse reply parameters")
        self.require(not unknown and isinstance(given["message_id"], int), bad, given)
        return str(given["message_id"])

    def sendMessage(self, call, values):
        text = values.pop("text", "")
        # Characters are counted as UTF-16 code units.
        size = len(text.encode("utf-16-le")) // 2
        self.require(text.strip(), self.error(400, "Bad Request: message text is empty"), "no text")
        self.require(size <= 4096, self.error(400, "Bad Request: message is too long"), f"{size} units")
        reply = self.reply(values)

        def make(number):
            made = Made(str(9000 + number), self.place, text, reply)
            return made, (200, {"ok": True, "result": self.message(number, text=text)})

        return self.create(call, make)

    def sendPhoto(self, call, values):
        photo = values.pop("photo")
        caption = values.pop("caption", None)
        self.require(photo.filename and len(caption or "") <= 1024, self.error(400, "Bad Request"), "photo")
        reply = self.reply(values)

        def make(number):
            made = Made(str(9000 + number), self.place, caption, reply, [(photo.filename, photo.content)])
            size = {"file_id": "f", "file_unique_id": "u", "width": 1, "height": 1}
            return made, (200, {"ok": True, "result": self.message(number, caption=caption, photo=[size])})

        return self.create(call, make)

    def sendMediaGroup(self, call, values):
        """Files are parts of the form, and named in `media`."""
        media = values.pop("media")
        self.require(2 <= len(media) <= 10, self.error(400, "Bad Request: wrong number of media"), media)
        reply = self.reply(values)
        files, caption = [], None
        for one in media:
            place = one["media"].removeprefix("attach://")
            known = set(one) <= {"type", "media", "caption", "parse_mode"} and one["type"] == "photo"
            self.require(known and place in values, self.error(400, "Bad Request: media not found"), one)
            part = values.pop(place)
            files.append((part.filename, part.content))
            caption = caption or one.get("caption")

        def make(number):
            made = Made(str(9000 + number), self.place, caption, reply, files)
            messages = [self.message(number + place, media_group_id="1") for place, _ in enumerate(media)]
            return made, (200, {"ok": True, "result": messages})

        return self.create(call, make)

    def known(self, values):
        number = values.pop("message_id")
        ids = {int(made.id) for made in self.made} | {int(self.inbound_id)}
        self.require(
            isinstance(number, int) and number in ids,
            self.error(400, "Bad Request: message not found"),
            number,
        )
        return str(number)

    def editMessageText(self, call, values):
        number = self.known(values)
        made = next(made for made in self.made if made.id == number)
        if made.files:
            raise OffContract(
                self.error(400, "Bad Request: there is no text in the message to edit"), "", is_told=True
            )
        text = values.pop("text")
        self.edits.append((number, text))
        return 200, {
            "ok": True,
            "result": self.message(int(number) - 9000, text=text, edit_date=int(time.time())),
        }

    def editMessageCaption(self, call, values):
        number, caption = self.known(values), values.pop("caption")
        self.edits.append((number, caption))
        return 200, {"ok": True, "result": self.message(int(number) - 9000, caption=caption)}

    def deleteMessage(self, call, values):
        self.deleted.append(self.known(values))
        return 200, {"ok": True, "result": True}

    def setMessageReaction(self, call, values):
        number, given = self.known(values), values.pop("reaction", [])
        for one in given:
            self.require(
                one["type"] == "emoji" and set(one) == {"type", "emoji"}, self.error(400, "Bad Request"), one
            )
        emoji = given[0]["emoji"] if given else self.emoji
        self.reactions.append((number, emoji, bool(given)))
        return 200, {"ok": True, "result": True}

    def judge(self):
        """aiogram's models of the methods know every parameter and its type."""
        for call in self.calls:
            name = call.path.rsplit("/", 1)[1]
            values = self.values(call)
            # What `media` names as attach:// is no parameter.
            named = {one["media"].removeprefix("attach://") for one in values.get("media", [])}
            values = {key: value for key, value in values.items() if key not in named}
            files = {key: "attach" for key, value in values.items() if hasattr(value, "filename")}
            method = getattr(aiogram.methods, name[0].upper() + name[1:]).model_validate(values | files)
            assert not method.model_extra, method.model_extra


class TelegramTopic(Telegram):
    """A forum: an answer to a message is in its topic by itself."""

    only = frozenset({"text", "reply", "attachment", "reaction"})
    place = "-1001234567890"
    chat = {"id": -1001234567890, "type": "supergroup", "title": "Ops", "is_forum": True}

    def inbound(self, account):
        return self.update({"message": self.said(message_thread_id=7, is_topic_message=True)})


class TelegramBusiness(Telegram):
    """A chat that a business account handed to the bot. What the bot says there comes back as an update."""

    only = frozenset({"text", "reply", "attachment", "edit", "deletion", "echoed"})
    has_echo = True
    place = "bc1:111"
    connection = "bc1"

    def inbound(self, account):
        return self.update({"business_message": self.said(business_connection_id="bc1")})

    def echo(self, account, made):
        bot = {"id": 123456, "is_bot": True, "first_name": "Hub"}
        owner = {"id": 500, "is_bot": False, "first_name": "Owner"}
        return self.update(
            {
                "business_message": self.said(
                    message_id=int(made.id),
                    business_connection_id="bc1",
                    sender_business_bot=bot,
                    text=made.text,
                    **{"from": owner},
                )
            }
        )

    def message(self, number, **more):
        return super().message(number, business_connection_id="bc1", **more)

    def deleteBusinessMessages(self, call, values):
        wrong = self.error(400, "Bad Request: business connection not found")
        self.require(values.pop("business_connection_id") == "bc1", wrong, values)
        ids = {int(made.id) for made in self.made}
        numbers = values.pop("message_ids")
        self.require(set(numbers) <= ids, self.error(400, "Bad Request: message not found"), numbers)
        self.deleted += [str(number) for number in numbers]
        return 200, {"ok": True, "result": True}
