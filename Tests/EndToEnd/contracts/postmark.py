"""Postmark's Email API and webhooks: https://postmarkapp.com/developer/api/email-api."""

import base64
import secrets
from datetime import datetime, timezone

from postmarker.core import PostmarkClient

from contracts.base import ANY, BOOLEAN, Limit, STRING, array, compact, obj, one_of, string
from contracts.mail import ADDRESS, PERSON, SUBJECT, Mail

# https://postmarkapp.com/developer/api/email-api#send-a-single-email; of the metadata:
# https://postmarkapp.com/support/article/1125-custom-metadata-faq.
METADATA = {
    "type": "object",
    "maxProperties": 10,
    "propertyNames": {"maxLength": 20},
    "additionalProperties": {"type": "string", "maxLength": 80},
}
MAIL = obj(
    {"From": string(most=255), "To": STRING},
    Cc=string(least=0),
    Bcc=string(least=0),
    Subject=string(most=2_000),
    Tag=string(most=1_000),
    HtmlBody=STRING,
    TextBody=STRING,
    ReplyTo=STRING,
    Headers=array(obj({"Name": STRING, "Value": STRING}), least=0),
    TrackOpens=BOOLEAN,
    TrackLinks=one_of("None", "HtmlAndText", "HtmlOnly", "TextOnly"),
    Metadata=METADATA,
    Attachments=array(
        obj(
            {"Name": STRING, "Content": string(pattern=r"^[A-Za-z0-9+/]+={0,2}$"), "ContentType": STRING},
            ContentID=ANY,
        ),
        least=0,
    ),
    MessageStream=STRING,
)


def now():
    return datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")


class Postmark(Mail):
    platform = "postmark"

    def __init__(self):
        super().__init__()
        self.password = secrets.token_hex(16)
        self.token = secrets.token_hex(16)

    def webhook_credentials(self):
        return {"username": "postmark", "password": self.password, "address": ADDRESS}

    def sending_credentials(self):
        return {"serverToken": self.token, "apiURL": self.url}

    def signed(self, body):
        login = base64.b64encode(f"postmark:{self.password}".encode()).decode()
        return {"Content-Type": "application/json", "Authorization": f"Basic {login}"}, compact(body)

    def inbound(self, account):
        headers = self.thread()
        kept = ("Message-ID", "In-Reply-To", "References")
        return self.signed(
            {
                "FromName": "Bob Lee",
                "From": PERSON,
                "FromFull": {"Email": PERSON, "Name": "Bob Lee", "MailboxHash": ""},
                "To": headers["To"],
                "ToFull": [{"Email": ADDRESS, "Name": "Support", "MailboxHash": ""}],
                "Cc": "",
                "CcFull": [],
                "OriginalRecipient": ADDRESS,
                "Subject": headers["Subject"],
                "MessageID": "73e6d360-66eb-11e1-8e72-a8904824019b",
                "ReplyTo": "",
                "MailboxHash": "",
                "Date": headers["Date"],
                "TextBody": "hello\r\n",
                "HtmlBody": "",
                "StrippedTextReply": "hello",
                "Tag": "",
                "Headers": [{"Name": name, "Value": headers[name]} for name in kept],
                "Attachments": [],
                "MessageStream": "inbound",
            }
        )

    def news(self, account, made, status):
        body = {
            "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
            "Recipient": PERSON,
            "Tag": "",
            "Metadata": made.call.json.get("Metadata", {}),
            "MessageStream": "outbound",
            "ServerID": 23,
        }
        if status == "failed":
            body |= {
                "RecordType": "Bounce",
                "ID": 4323372036854775807,
                "Type": "HardBounce",
                "TypeCode": 1,
                "Name": "Hard bounce",
                "Description": "The server was unable to deliver your message",
                "Details": "550 no such mailbox",
                "Email": PERSON,
                "From": ADDRESS,
                "BouncedAt": now(),
                "DumpAvailable": True,
                "Inactive": True,
                "CanActivate": True,
                "Subject": "Re: " + SUBJECT,
            }
        else:
            body |= {"RecordType": "Delivery", "DeliveredAt": now(), "Details": "250 OK"}
        return self.signed(body)

    @staticmethod
    def error(status, code, words, headers=None):
        return status, {"ErrorCode": code, "Message": words}, headers or {}

    def limits(self):
        """https://postmarkapp.com/developer/api/overview#response-codes: 429, of which no more is said."""
        words = "Rate Limit Exceeded"
        return {
            "bare": Limit((429, {"Message": words}), 0.5, most=15),
            "header": Limit((429, {"Message": words}, {"Retry-After": "2"}), 2),
            # 100: maintenance; nothing is done.
            "maintenance": Limit(self.error(503, 100, "Maintenance"), 0.5, most=15),
        }

    def refusal(self):
        words = "You tried to send to recipient(s) that have been marked as inactive."
        return self.error(422, 406, words), "marked as inactive"

    def broken(self):
        return self.error(500, 0, "Internal Server Error")

    def unauthorised(self):
        return self.error(401, 10, "Request does not contain a valid Server token.")

    def invalid(self, words):
        return self.error(422, 300, f"Invalid email request: {words}")

    def route(self, call):
        self.refuse_if(self.is_revoked, self.unauthorised())
        given = call.headers.get("x-postmark-server-token")
        self.require(given == self.token, self.unauthorised(), f"X-Postmark-Server-Token {given}")
        accepts = call.headers.get("accept")
        self.require(accepts == "application/json", self.error(406, 0, "Not acceptable"), f"Accept {accepts}")
        self.require(
            (call.method, call.path) == ("POST", "/email"), self.error(404, 0, "Not found"), call.path
        )
        # Null is as if it were not there: the library has it for what it is not given.
        call.body = compact({name: value for name, value in call.json.items() if value is not None})
        mail = self.checked(call, MAIL, self.invalid)
        self.require("TextBody" in mail or "HtmlBody" in mail, self.invalid("no body"), "no body")
        headers = {one["Name"]: one["Value"] for one in mail.get("Headers", [])}
        self.require(len(headers) == len(mail.get("Headers", [])), self.invalid("Headers"), "a header twice")
        identifier = secrets.token_hex(16)
        files = [(one["Name"], base64.b64decode(one["Content"])) for one in mail.get("Attachments", [])]
        text = mail.get("TextBody", mail.get("HtmlBody"))
        made = self.written(mail["From"], [mail["To"]], mail["Subject"], text, headers, files)
        if headers.get("X-PM-KeepID") != "true":
            made.id = f"{identifier}@mtasv.net"
        answer = {
            "To": mail["To"],
            "SubmittedAt": now(),
            "MessageID": identifier,
            "ErrorCode": 0,
            "Message": "OK",
        }
        return self.create(call, lambda number: (made, (200, answer)))

    def client(self):
        api = PostmarkClient(server_token=self.token, root_api_url=f"{self.url}/")
        sent = api.emails.send(
            From=ADDRESS,
            To=PERSON,
            Subject=f"Re: {SUBJECT}",
            TextBody="by postmarker",
            Headers={
                "Message-ID": "<by-postmarker@mg.example.com>",
                "In-Reply-To": f"<{self.inbound_id}>",
                "References": f"<{self.place}> <{self.inbound_id}>",
                "X-PM-KeepID": "true",
            },
        )
        assert sent["ErrorCode"] == 0
        return "by-postmarker@mg.example.com"
