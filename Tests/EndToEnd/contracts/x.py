"""X API v2, direct messages: https://docs.x.com/x-api/direct-messages and https://docs.x.com/x-api/media."""

import base64
import hashlib
import hmac
import secrets
import time

import tweepy

from contracts.base import Contract, Limit, Made, array, compact, obj, parts_of, string

USER = "3001969357"
OWN = "4337869213"
CREATE = obj(text=string(10_000), attachments=array(obj({"media_id": string(pattern=r"^\d{1,19}$")}), 1)) | {
    "minProperties": 1
}


class X(Contract):
    platform = "x"
    files = "upload"
    has_steps = True
    has_echo = True
    place = USER
    inbound_id = "954491830116155396"
    longest = "x" * 10_000

    def __init__(self):
        super().__init__()
        self.secret = secrets.token_hex(16)
        self.token = secrets.token_urlsafe(40)
        self.uploads = {}

    def webhook_credentials(self):
        return {"consumerSecret": self.secret, "userId": OWN}

    def sending_credentials(self):
        return {"accessToken": self.token, "apiURL": self.url}

    def event(self, identifier, sender, recipient, text):
        create = {
            "target": {"recipient_id": recipient},
            "sender_id": sender,
            "message_data": {"text": text, "entities": {"urls": []}},
        }
        event = {
            "type": "message_create",
            "id": identifier,
            "created_timestamp": str(int(time.time() * 1000)),
            "message_create": create,
        }
        users = {name: {"id": name, "name": name, "screen_name": name} for name in (USER, OWN)}
        body = compact({"for_user_id": OWN, "direct_message_events": [event], "users": users})
        digest = hmac.new(self.secret.encode(), body, hashlib.sha256).digest()
        signature = "sha256=" + base64.b64encode(digest).decode()
        return {"Content-Type": "application/json", "x-twitter-webhooks-signature": signature}, body

    def inbound(self, account):
        return self.event(self.inbound_id, USER, OWN, "hello")

    def echo(self, account, made):
        return self.event(made.id, OWN, USER, made.text)

    @staticmethod
    def problem(status, title, detail, kind="about:blank"):
        return status, {"title": title, "detail": detail, "type": kind, "status": status}

    def limits(self):
        status, body = self.problem(429, "Too Many Requests", "Too Many Requests")
        headers = {"x-rate-limit-limit": "15", "x-rate-limit-remaining": "0"}
        return {
            "reset": Limit(
                (status, body, headers | {"x-rate-limit-reset": str(int(time.time()) + 4)}), 2.5, most=9
            ),
            "none": Limit((status, body), 0.5, most=70),
        }

    def refusal(self):
        words = "You do not have permission to DM one or more participants."
        return self.problem(403, "Forbidden", words), "permission to DM"

    def broken(self):
        return self.problem(500, "Internal Server Error", "Something is broken.")

    def unauthorised(self):
        return self.problem(401, "Unauthorized", "Unauthorized")

    def invalid(self, words):
        return 400, {
            "errors": [{"message": str(words), "parameters": {}}],
            "title": "Invalid Request",
            "detail": "One or more parameters to your request was invalid.",
            "type": "https://api.twitter.com/2/problems/invalid-request",
        }

    def route(self, call):
        if call.path == "/2/oauth2/token":
            return self.renew(call)
        self.refuse_if(self.is_revoked, self.unauthorised())
        given = call.headers.get("authorization")
        self.refuse_if(self.is_expired and given != f"Bearer {self.token}", self.unauthorised())
        self.require(given == f"Bearer {self.token}", self.unauthorised(), f"Authorization {given}")
        if (call.method, call.path) == ("POST", "/2/media/upload"):
            return self.upload(call)
        path = f"/2/dm_conversations/with/{USER}/messages"
        missing = self.problem(404, "Not Found", "Not Found")
        self.require((call.method, call.path) == ("POST", path), missing, f"{call.method} {call.path}")
        body = self.checked(call, CREATE, self.invalid)
        files = []
        for one in body.get("attachments", []):
            self.require(one["media_id"] in self.uploads, self.invalid("media_id"), one)
            files.append(self.uploads[one["media_id"]])

        def make(number):
            made = Made(str(1_580_705_121_553_420_289 + number), USER, body.get("text"), None, files)
            return made, (201, {"data": {"dm_conversation_id": f"{USER}-{OWN}", "dm_event_id": made.id}})

        return self.create(call, make)

    def upload(self, call):
        """https://docs.x.com/x-api/media/upload-media: in one go, as form data."""
        parts = parts_of(call)
        known = {"media", "media_category", "media_type", "additional_owners", "shared"}
        self.require(
            set(parts) <= known and {"media", "media_category"} <= set(parts),
            self.invalid("form"),
            sorted(parts),
        )
        [category], [media] = parts["media_category"], parts["media"]
        self.require(category.text == "dm_image", self.invalid("media_category"), category.text)
        if "media_type" in parts:
            types = ("image/jpeg", "image/bmp", "image/png", "image/webp", "image/pjpeg", "image/tiff")
            self.require(
                parts["media_type"][0].text in types, self.invalid("media_type"), parts["media_type"][0].text
            )
        self.step(call)
        identifier = str(1_146_654_567_674_912_769 + len(self.uploads))
        self.uploads[identifier] = (media.filename, media.content)
        return 200, {
            "data": {
                "id": identifier,
                "media_key": f"5_{identifier}",
                "expires_after_secs": 86_400,
                "size": len(media.content),
            }
        }

    def client(self):
        """tweepy speaks for a user; its host is a constant of the method."""
        contract = self

        class Here(tweepy.Client):
            def request(self, method, route, **options):
                options.pop("user_auth", None)
                headers = {"Authorization": f"Bearer {contract.token}", "User-Agent": self.user_agent}
                return self.session.request(
                    method, contract.url + route, headers=headers, json=options.get("json")
                )

        answer = Here(return_type=dict).create_direct_message(
            participant_id=USER, text="by tweepy", user_auth=False
        )
        return answer["data"]["dm_event_id"]


class RefreshingX(X):
    """https://docs.x.com/fundamentals/authentication/oauth-2-0: a refresh token is good once."""

    has_tokens = True
    refresh = "refresh-0"

    def sending_credentials(self):
        return {
            "accessToken": "",
            "refreshToken": "refresh-0",
            "clientId": "client",
            "clientSecret": "secret",
            "apiURL": self.url,
        }

    def renew(self, call):
        wrong = (
            400,
            {"error": "invalid_request", "error_description": "Value passed for the token was invalid."},
        )
        self.refuse_if(self.is_revoked, wrong)
        login = base64.b64encode(b"client:secret").decode()
        self.require(
            call.headers.get("authorization") == f"Basic {login}", wrong, call.headers.get("authorization")
        )
        form = {name: value for name, value in call.form.items() if name != "client_id"}
        self.require(form == {"grant_type": "refresh_token", "refresh_token": self.refresh}, wrong, call.form)
        self.step(call)
        self.renewals += 1
        self.refresh, self.token = f"refresh-{self.renewals}", f"access-{self.renewals}"
        return 200, {
            "token_type": "bearer",
            "expires_in": 7200,
            "access_token": self.token,
            "refresh_token": self.refresh,
            "scope": "dm.write dm.read tweet.read users.read offline.access",
        }

    def expire(self):
        self.token, self.is_expired = secrets.token_hex(8), True
