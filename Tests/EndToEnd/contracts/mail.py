"""What the contracts of mail providers have in common: a thread of mails, and what the other side gets.

The message's id is that of RFC 5322, because it is what the other side answers to. A conversation is known by
the first mail of its thread.
"""

import re
from email.utils import formatdate, getaddresses

from contracts.base import Contract, Made

ROOT = "root@mail.example.com"
ASKED = "asked@mail.example.com"
PERSON = "bob@example.com"
ADDRESS = "support@mg.example.com"
SUBJECT = "Where is my order?"
ID = r"<[^<>\s@]+@[^<>\s@]+>"


class Mail(Contract):
    # Providers refuse a mail that has neither text nor HTML.
    def as_written(self, text):
        return text or " "

    files = "upload"
    place = ROOT
    inbound_id = ASKED
    # What the provider tells later has what the hub gave it.
    has_news = True

    def thread(self):
        """The headers of the mail that came in, which answers the first one."""
        return {
            "Message-ID": f"<{ASKED}>",
            "In-Reply-To": f"<{ROOT}>",
            "References": f"<{ROOT}>",
            "Date": formatdate(usegmt=True),
            "From": f"Bob Lee <{PERSON}>",
            "To": f"Support <{ADDRESS}>",
            "Subject": f"Re: {SUBJECT}",
        }

    def invalid(self, words):
        raise NotImplementedError

    def written(self, sender, to, subject, text, headers, files):
        """The mail as it leaves the provider.

        `headers` are those that the caller may set: without an id of its own, the provider makes one.
        """
        people = [address for _, address in getaddresses(to)]
        self.require(people == [PERSON], self.invalid("to"), f"to {to}")
        [(_, address)] = getaddresses([sender])
        self.require(address == ADDRESS, self.invalid("from"), f"from {sender}")
        self.require(subject == f"Re: {SUBJECT}", self.invalid("subject"), f"subject {subject}")
        given = {name.lower(): value for name, value in headers.items()}
        self.require(len(given) == len(headers), self.invalid("headers"), f"twice in {headers}")
        for name, value in given.items():
            is_plain = re.fullmatch(r"[!-9;-~]+", name) and re.fullmatch(r"[ -~\t]+", value)
            self.require(is_plain, self.invalid("headers"), f"{name}: {value!r}")
        forms = {"message-id": ID, "in-reply-to": ID, "references": rf"{ID}(\s+{ID})*"}
        for name, form in forms.items():
            value = given.get(name, "")
            self.require(re.fullmatch(form, value), self.invalid(name), f"{name}: {value!r}")
        self.require(set(given) <= {*forms, "x-pm-keepid"}, self.invalid("headers"), sorted(given))
        references = given["references"].split()
        self.require(
            references[-1] == given["in-reply-to"],
            self.invalid("references"),
            f"the answered is not last: {given}",
        )
        # Line ends are the provider's.
        plain = text.replace("\r\n", "\n").removesuffix("\n")
        return Made(given["message-id"][1:-1], references[0][1:-1], plain, given["in-reply-to"][1:-1], files)
