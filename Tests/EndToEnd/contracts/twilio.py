"""Twilio Programmable Messaging: https://www.twilio.com/docs/messaging/api/message-resource."""

import base64
import secrets
import time
from datetime import datetime, timezone
from email.utils import formatdate
from urllib.parse import parse_qs, urlencode

from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from contracts.base import Contract, Limit, Made

CUSTOMER = "+15551230001"
NUMBER = "+15551230002"
PARAMETERS = {
    "To",
    "From",
    "Body",
    "MediaUrl",
    "MessagingServiceSid",
    "StatusCallback",
    "ContentSid",
    "ContentVariables",
    "ApplicationSid",
    "MaxPrice",
    "ProvideFeedback",
    "Attempt",
    "ValidityPeriod",
    "ForceDelivery",
    "ContentRetention",
    "AddressRetention",
    "SmartEncoded",
    "PersistentAction",
    "TrafficType",
    "ShortenUrls",
    "ScheduleType",
    "SendAt",
    "SendAsMms",
    "RiskCheck",
}


class Twilio(Contract):
    platform = "twilio"
    files = "url"
    has_albums = True
    place = CUSTOMER
    inbound_id = "SM" + "1" * 32
    longest = "x" * 1600
    number = NUMBER

    def __init__(self):
        super().__init__()
        self.sid = "AC" + secrets.token_hex(16)
        self.token = secrets.token_hex(16)

    def webhook_credentials(self):
        return {"authToken": self.token}

    def sending_credentials(self):
        return {"accountSid": self.sid, "from": NUMBER, "apiURL": self.url}

    def inbound(self, account):
        form = self.inbound_form()
        signature = RequestValidator(self.token).compute_signature(account["webhookUrl"], form)
        headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signature}
        return headers, urlencode(form).encode()

    def inbound_form(self):
        return {
            "MessageSid": self.inbound_id,
            "SmsMessageSid": self.inbound_id,
            "AccountSid": self.sid,
            "From": self.place,
            "To": self.number,
            "Body": "hello",
            "NumMedia": "0",
            "SmsStatus": "received",
        }

    @staticmethod
    def error(status, code, words, **headers):
        more = f"https://www.twilio.com/docs/errors/{code}"
        return status, {"code": code, "message": words, "more_info": more, "status": status}, headers

    def limits(self):
        """https://www.twilio.com/docs/usage/rest-api-best-practices: 429 with code 20429, without a time."""
        busy = self.error(429, 20429, "Too Many Requests")
        return {
            "20429": Limit(busy, 0.5, most=15),
            "header": Limit((busy[0], busy[1], {"Retry-After": "2"}), 2),
        }

    def refusal(self):
        words = "Attempt to send to unsubscribed recipient"
        return self.error(400, 21610, words), words

    def broken(self):
        return self.error(500, 20500, "Internal Server Error")

    def unauthorised(self):
        return self.error(401, 20003, "Authenticate")

    def route(self, call):
        self.refuse_if(self.is_revoked, self.unauthorised())
        login = base64.b64encode(f"{self.sid}:{self.token}".encode()).decode()
        given = call.headers.get("authorization")
        self.require(given == f"Basic {login}", self.unauthorised(), f"Authorization {given}")
        path = f"/2010-04-01/Accounts/{self.sid}/Messages.json"
        self.require(
            (call.method, call.path) == ("POST", path), self.error(404, 20404, "Not found"), call.path
        )
        kind = call.headers.get("content-type")
        self.require(kind == "application/x-www-form-urlencoded", self.error(415, 20415, "Unsupported"), kind)
        form = parse_qs(call.body.decode(), keep_blank_values=True)
        self.require(set(form) <= PARAMETERS, self.error(400, 20001, "Unknown parameter"), sorted(form))
        self.require(
            all(len(values) == 1 or name == "MediaUrl" for name, values in form.items()),
            self.error(400, 20001, "Repeated parameter"),
            form,
        )
        self.require(
            form.get("To") == [self.place],
            self.error(400, 21211, "Invalid 'To' Phone Number"),
            form.get("To"),
        )
        self.require(
            form.get("From") == [self.number], self.error(400, 21606, "Invalid 'From'"), form.get("From")
        )
        [body] = form.get("Body", [""])
        media = form.get("MediaUrl", [])
        self.require(body or media, self.error(400, 21602, "Message body is required"), "no body")
        self.require(
            len(body) <= 1600, self.error(400, 21617, "The concatenated message body exceeds 1600"), len(body)
        )
        self.require(
            len(media) <= 10, self.error(400, 21623, "Number of media files exceeds allowed limit"), media
        )

        def make(number):
            sid = ("MM" if media else "SM") + f"{number:032x}"
            made = Made(sid, self.place, body or None, None, [(None, url) for url in media])
            now = formatdate(time.time()).replace("-0000", "+0000")
            return made, (
                201,
                {
                    "sid": sid,
                    "account_sid": self.sid,
                    "to": CUSTOMER,
                    "from": NUMBER,
                    "body": body,
                    "status": "queued",
                    "num_segments": "1",
                    "num_media": str(len(media)),
                    "direction": "outbound-api",
                    "api_version": "2010-04-01",
                    "price": None,
                    "price_unit": "USD",
                    "error_code": None,
                    "error_message": None,
                    "uri": f"{path[:-5]}/{sid}.json",
                    "messaging_service_sid": None,
                    "date_created": now,
                    "date_updated": now,
                    "date_sent": None,
                    "subresource_uris": {},
                },
            )

        return self.create(call, make)

    def client(self):
        contract = self

        class Here(TwilioHttpClient):
            def request(self, method, url, *arguments, **options):
                return super().request(
                    method, url.replace("https://api.twilio.com", contract.url), *arguments, **options
                )

        api = Client(self.sid, self.token, http_client=Here())
        return api.messages.create(to=CUSTOMER, from_=NUMBER, body="by twilio").sid


class TwilioWhatsApp(Twilio):
    """The channel leads both numbers."""

    only = frozenset({"text", "attachment"})
    place = f"whatsapp:{CUSTOMER}"
    number = f"whatsapp:{NUMBER}"


class TwilioConversation(Twilio):
    """https://www.twilio.com/docs/conversations/api/conversation-message-resource."""

    only = frozenset({"text", "attachment", "steps", "broken", "swallowed", "refused"})
    files = "upload"
    has_steps = True
    place = "CH" + "0" * 31 + "1"
    inbound_id = "IM" + "1" * 32
    service = "IS" + "0" * 31 + "1"

    def __init__(self):
        super().__init__()
        self.uploads = {}

    def sending_credentials(self):
        return {"accountSid": self.sid, "chatServiceSid": self.service, "apiURL": self.url}

    def inbound_form(self):
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {
            "EventType": "onMessageAdded",
            "ConversationSid": self.place,
            "MessageSid": self.inbound_id,
            "Index": "3",
            "Author": CUSTOMER,
            "Body": "hello",
            "DateCreated": now,
            "Source": "SMS",
            "AccountSid": self.sid,
            "ChatServiceSid": self.service,
            "Attributes": "{}",
            "RetryCount": "0",
        }

    def route(self, call):
        login = base64.b64encode(f"{self.sid}:{self.token}".encode()).decode()
        given = call.headers.get("authorization")
        self.require(given == f"Basic {login}", self.unauthorised(), f"Authorization {given}")
        missing = self.error(404, 20404, "Not found")
        if (call.method, call.path) == ("POST", f"/v1/Services/{self.service}/Media"):
            self.step(call)
            sid = "ME" + f"{len(self.uploads):032x}"
            self.require(call.headers["content-type"] == "image/png", self.error(400, 20001, "type"), "type")
            self.uploads[sid] = (call.query.get("Filename"), call.body)
            return 201, {"sid": sid, "service_sid": self.service, "size": len(call.body), "category": "media"}
        path = f"/v1/Conversations/{self.place}/Messages"
        self.require((call.method, call.path) == ("POST", path), missing, call.path)
        form = parse_qs(call.body.decode(), keep_blank_values=True)
        known = {"Author", "Body", "MediaSid", "ContentSid", "ContentVariables", "Attributes", "Subject"}
        self.require(set(form) <= known, self.error(400, 20001, "Unknown parameter"), sorted(form))
        [body] = form.get("Body", [""])
        media = form.get("MediaSid", [])
        self.require(set(media) <= set(self.uploads), self.error(400, 50516, "Media not found"), media)
        self.require(body or media, self.error(400, 50501, "Body required"), "empty")

        def make(number):
            made = Made(
                f"IM{number:032x}", self.place, body or None, None, [self.uploads[one] for one in media]
            )
            now = datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
            return made, (
                201,
                {
                    "sid": made.id,
                    "account_sid": self.sid,
                    "conversation_sid": self.place,
                    "body": body,
                    "index": 4,
                    "author": "system",
                    "date_created": now,
                    "date_updated": now,
                    "attributes": "{}",
                    "media": None,
                },
            )

        return self.create(call, make)
