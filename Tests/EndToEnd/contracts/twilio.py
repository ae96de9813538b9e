"""Twilio Programmable Messaging: https://www.twilio.com/docs/messaging/api/message-resource."""

import base64
import secrets
import time
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
    place = CUSTOMER
    inbound_id = "SM" + "1" * 32
    longest = "x" * 1600

    def __init__(self):
        super().__init__()
        self.sid = "AC" + secrets.token_hex(16)
        self.token = secrets.token_hex(16)

    def webhook_credentials(self):
        return {"authToken": self.token}

    def sending_credentials(self):
        return {"accountSid": self.sid, "from": NUMBER, "apiURL": self.url}

    def inbound(self, account):
        form = {
            "MessageSid": self.inbound_id,
            "SmsMessageSid": self.inbound_id,
            "AccountSid": self.sid,
            "From": CUSTOMER,
            "To": NUMBER,
            "Body": "hello",
            "NumMedia": "0",
            "SmsStatus": "received",
        }
        signature = RequestValidator(self.token).compute_signature(account["webhookUrl"], form)
        headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signature}
        return headers, urlencode(form).encode()

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
            form.get("To") == [CUSTOMER], self.error(400, 21211, "Invalid 'To' Phone Number"), form.get("To")
        )
        self.require(form.get("From") == [NUMBER], self.error(400, 21606, "Invalid 'From'"), form.get("From"))
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
            made = Made(sid, CUSTOMER, body or None, None, [(None, url) for url in media])
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
