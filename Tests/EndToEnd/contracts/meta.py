"""What WhatsApp, Messenger and Instagram share: the Graph API, its errors and signatures.

https://developers.facebook.com/docs/graph-api/guides/error-handling
https://developers.facebook.com/docs/graph-api/overview/rate-limiting
"""

import hashlib
import hmac
import json
import secrets

from contracts.base import Contract, Fault, Limit, compact


def graph_error(status, code, words, subcode=None, details=None, kind="OAuthException", **headers):
    error = {"message": words, "type": kind, "code": code, "fbtrace_id": "Az8or2yhqkZfEZ-_4Qn_Bam"}
    if subcode is not None:
        error["error_subcode"] = subcode
    if details is not None:
        error["error_data"] = {"messaging_product": "whatsapp", "details": details}
    return status, {"error": error}, {name.replace("_", "-"): value for name, value in headers.items()}


class Graph(Contract):
    def __init__(self):
        super().__init__()
        self.token = "EAA" + secrets.token_hex(20)
        self.app_secret = secrets.token_hex(16)

    def sending_credentials(self):
        return {"accessToken": self.token, "apiURL": self.url}

    def signed(self, payload):
        # Meta escapes what it signs.
        body = json.dumps(payload).encode()
        signature = "sha256=" + hmac.new(self.app_secret.encode(), body, hashlib.sha256).hexdigest()
        return {"Content-Type": "application/json", "X-Hub-Signature-256": signature}, body

    @staticmethod
    def invalid(words):
        return graph_error(400, 100, f"(#100) Invalid parameter: {words}")

    def broken(self):
        return graph_error(500, 2, "Service temporarily unavailable", kind="OAuthException")

    def unauthorised(self):
        words = "Error validating access token: the session was invalidated, as the password changed."
        return graph_error(401, 190, words, subcode=460)

    def usage(self, minutes):
        """https://developers.facebook.com/docs/graph-api/overview/rate-limiting#buc-rate-limits"""
        one = {"type": "messenger", "call_count": 100, "total_cputime": 25, "total_time": 25}
        return json.dumps({"112130216863063": [one | {"estimated_time_to_regain_access": minutes}]})

    def authorise(self, call):
        self.refuse_if(self.is_revoked, self.unauthorised())
        given = call.headers.get("authorization", "").removeprefix("Bearer ") or call.query.get(
            "access_token"
        )
        wrong = graph_error(401, 190, "Invalid OAuth access token.")
        self.require(given == self.token, wrong, "the access token is another")

    def version(self, call):
        parts = call.path.strip("/").split("/")
        number = parts[0].removeprefix("v")
        is_known = parts[0].startswith("v") and float(number) >= 20
        self.require(is_known, graph_error(400, 2635, "You are calling a deprecated version"), parts[0])
        return parts[1:]


__all__ = ["Fault", "Graph", "Limit", "compact", "graph_error"]
