"""Graph's chats: the list of chats, each chat's messages, and their changes since a place (`delta`)."""

import re
import secrets
import time
from datetime import datetime, timezone
from urllib.parse import quote, unquote

import feeds
from contracts.teams_graph import ANA, APP, ME, PEM, TENANT, notification


def moment(at):
    return (
        datetime.fromtimestamp(round(at, 3), timezone.utc)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def seconds(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Feed(feeds.Feed):
    platform = "teams-graph"
    finds = frozenset({"edit", "delete", "react"})
    has_refresh = True

    def __init__(self):
        super().__init__()
        self.chats = {f"19:{ME}_{ANA}@unq.gbl.spaces": None, "19:meeting_ZjQ1@thread.v2": "Launch"}
        self.messages = {chat: [] for chat in self.chats}
        self.places_given = {}
        self.generation = 0
        self.turn = 0
        self.last = 0
        self.number_of_messages = 0
        self.rotates = True
        self.refresh = f"0.AX-{secrets.token_urlsafe(16)}"
        self.state = f"state-{self.number}"

    def credentials(self):
        return {
            "clientState": self.state,
            "appId": APP,
            "tenantId": TENANT,
            "privateKey": PEM,
            "testKey": PEM,
            "appPassword": "password",
            "refreshToken": self.refresh,
            "apiURL": self.server.url,
            "loginURL": self.server.url,
        }

    def stamp(self):
        self.last = max(self.last + 0.001, time.time())
        return self.last

    def changed(self, message, at=None):
        self.turn += 1
        message["turn"] = self.turn
        message["lastModifiedDateTime"] = moment(at if at is not None else self.stamp())

    def say(self, text, at=None, place=0, own=False):
        with self.lock:
            at = at if at is not None else self.stamp()
            # Two of one moment have two ids.
            self.number_of_messages += 1
            chat = list(self.chats)[place]
            user = (ME, "Me") if own else (ANA, "Ana")
            sender = {
                "id": user[0],
                "displayName": user[1],
                "userIdentityType": "aadUser",
                "tenantId": TENANT,
            }
            taken = {one["id"] for one in self.messages[chat]}
            number = int(at * 1000)
            while str(number) in taken:
                number += 1
            message = {
                "id": str(number),
                "replyToId": None,
                "etag": str(number),
                "messageType": "message",
                "createdDateTime": moment(at),
                "lastEditedDateTime": None,
                "deletedDateTime": None,
                "subject": None,
                "importance": "normal",
                "locale": "en-us",
                "chatId": chat,
                "channelIdentity": None,
                "from": {"application": None, "device": None, "user": sender},
                "body": {"contentType": "text", "content": text},
                "attachments": [],
                "mentions": [],
                "reactions": [],
            }
            self.changed(message, at)
            self.messages[chat].append(message)
            return message

    def edit(self, message, text):
        with self.lock:
            message["body"] = {"contentType": "text", "content": text}
            self.changed(message)
            message["lastEditedDateTime"] = message["lastModifiedDateTime"]

    def delete(self, message):
        with self.lock:
            message["body"] = {"contentType": "text", "content": ""}
            self.changed(message)
            message["deletedDateTime"] = message["lastModifiedDateTime"]

    def react(self, message):
        with self.lock:
            self.changed(message)
            user = {"id": ANA, "displayName": None, "userIdentityType": "aadUser"}
            one = {
                "reactionType": "👍",
                "displayName": "Like",
                "createdDateTime": message["lastModifiedDateTime"],
            }
            message["reactions"] = [one | {"user": {"application": None, "device": None, "user": user}}]

    def webhook(self, message):
        return notification(self.shown(message), self.state)

    @staticmethod
    def shown(message):
        return {name: value for name, value in message.items() if name != "turn"}

    # Who may ask.

    @staticmethod
    def error(status, code, words):
        inner = {"date": moment(time.time()), "request-id": secrets.token_hex(16)}
        return status, {"error": {"code": code, "message": words, "innerError": inner}}

    def authorise(self, call):
        if call.path.endswith("/oauth2/v2.0/token"):
            return
        if self.revoked or call.headers.get("authorization") != f"Bearer {self.token}":
            words = "Access token has expired or is not yet valid."
            raise feeds.Refused(*self.error(401, "InvalidAuthenticationToken", words))

    def renew(self, call):
        self.wants(
            call, call.path == f"/{TENANT}/oauth2/v2.0/token" and call.method == "POST", "no token there"
        )
        if self.revoked:
            words = "AADSTS50173: The provided grant has expired due to it being revoked."
            raise feeds.Refused(
                400, {"error": "invalid_grant", "error_description": words, "error_codes": [50173]}
            )
        known = ("client_id", "client_secret", "grant_type", "refresh_token", "scope")
        given = self.check(call, call.form, known)
        wanted = (APP, "password", "refresh_token", self.refresh)
        self.wants(call, tuple(given[name] for name in known[:4]) == wanted, f"{given}")
        self.token, self.refresh = f"eyJ-{secrets.token_hex(8)}", f"0.AX-{secrets.token_urlsafe(16)}"
        answer = {
            "token_type": "Bearer",
            "expires_in": 3599,
            "ext_expires_in": 3599,
            "scope": "Chat.ReadWrite",
        }
        return 200, answer | {"access_token": self.token, "refresh_token": self.refresh}

    def expire_token(self):
        with self.lock:
            self.token = "another"

    # What is asked.

    def route(self, call):
        if call.path.endswith("/oauth2/v2.0/token"):
            return self.renew(call)
        self.wants(call, call.method == "GET", "only reading is expected")
        path = unquote(call.path)
        if path == "/v1.0/me":
            self.check(call, call.query, (), ("$select",))
            return 200, {"id": ME}
        if path == "/v1.0/me/chats":
            return self.listed(call)
        found = re.fullmatch(r"/v1\.0/chats/([^/]+)/messages(/delta|)", path)
        if not found:
            self.unknown(call)
        if found[1] not in self.chats:
            raise feeds.Refused(*self.error(404, "NotFound", "no such chat"))
        return (self.delta if found[2] else self.history)(call, found[1])

    def listed(self, call):
        given = self.check(call, call.query, (), ("$expand", "$top", "$skiptoken", "$orderby", "$filter"))
        self.whole(call, given, "$top", 20, 1, 50)
        self.wants(call, "$skiptoken" not in given, "there is one page")
        self.wants(call, given.get("$expand") in (None, "lastMessagePreview", "members"), "$expand")
        found = []
        for chat, topic in self.chats.items():
            kind = "group" if topic else "oneOnOne"
            one = {"id": chat, "topic": topic, "chatType": kind, "tenantId": TENANT}
            newest = max(self.messages[chat], key=lambda one: int(one["id"]), default=None)
            if given.get("$expand") == "lastMessagePreview":
                names = ("id", "createdDateTime", "messageType", "from", "body")
                one["lastMessagePreview"] = newest and {name: newest[name] for name in names} | {
                    "isDeleted": False
                }
            found.append(one)
        return 200, {"@odata.count": len(found), "value": found}

    def place(self, kind, chat, position):
        token = secrets.token_urlsafe(24)
        self.places_given[token] = (kind, chat, position, self.generation)
        return token

    def position(self, call, token, kind, chat):
        known = self.places_given.get(token)
        self.wants(call, known and known[:2] == (kind, chat), "a place that was not given")
        if known[3] != self.generation:
            raise feeds.Refused(
                *self.error(410, "syncStateNotFound", "The sync state generation is not found.")
            )
        return known[2]

    def history(self, call, chat):
        given = self.check(call, call.query, (), ("$top", "$orderby", "$skiptoken", "$filter"))
        most = self.whole(call, given, "$top", 20, 1, 50)
        self.wants(call, given.get("$orderby") == "createdDateTime desc", "$orderby")
        end = self.position(call, given["$skiptoken"], "history", chat) if "$skiptoken" in given else 1 << 62
        found = [one for one in self.messages[chat] if int(one["id"]) < end]
        found.sort(key=lambda one: int(one["id"]), reverse=True)
        answer = {"value": [self.shown(one) for one in found[:most]]}
        if len(found) > most:
            token = self.place("history", chat, int(found[most - 1]["id"]))
            query = f"$top={most}&$orderby=createdDateTime%20desc&$skiptoken={token}"
            answer["@odata.nextLink"] = (
                f"https://graph.microsoft.com/v1.0/chats/{quote(chat)}/messages?{query}"
            )
        return 200, answer

    def delta(self, call, chat):
        given = self.check(call, call.query, (), ("$top", "$filter", "$skiptoken", "$deltatoken"))
        most = self.whole(call, given, "$top", 20, 1, 50)
        self.wants(call, not {"$skiptoken", "$deltatoken"} <= set(given), "two places")
        found = sorted(self.messages[chat], key=lambda one: one["turn"])
        token = given.get("$skiptoken", given.get("$deltatoken"))
        begin, since = 0, 0
        if token is not None:
            kind = "page" if "$skiptoken" in given else "changes"
            # What was asked for first goes on with the place.
            begin, since, most = self.position(call, token, kind, chat)
        elif "$filter" in given:
            form = re.fullmatch(r"lastModifiedDateTime gt (\S+)", given["$filter"])
            self.wants(call, form, f"$filter {given['$filter']}")
            since = seconds(form[1])
        found = [one for one in found if one["turn"] > begin and seconds(one["lastModifiedDateTime"]) > since]
        answer = {"value": [self.shown(one) for one in found[:most]]}
        link = f"https://graph.microsoft.com/v1.0/chats/{quote(chat)}/messages/delta?"
        end = found[:most][-1]["turn"] if found else max(begin, self.turn)
        if len(found) > most:
            answer["@odata.nextLink"] = link + "$skiptoken=" + self.place("page", chat, (end, since, most))
        else:
            answer["@odata.deltaLink"] = (
                link + "$deltatoken=" + self.place("changes", chat, (end, since, most))
            )
        return 200, answer

    def limits(self):
        status, body = self.error(429, "TooManyRequests", "Please retry after")
        return [("Retry-After", 2, (status, body, {"Retry-After": "2"}))]

    def expire(self):
        with self.lock:
            self.generation += 1
        return True
