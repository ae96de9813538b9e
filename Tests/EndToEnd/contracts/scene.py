"""An account of a platform, connected to a server that keeps to its contract, and what a user does there."""

import time

import requests

from hub import unique, wait_until
from contracts.base import PNG

TEXT = "Grüße & <b>mehr</b> 👋\nzweite Zeile"
# Who fetches files itself gets an address that it can reach.
PICTURE_URL = "https://files.example.com/cat.png"


class Scene:
    def __init__(self, hub, contract):
        self.hub = hub
        self.contract = contract
        # Tenants keep apart: the accounts of all cases have the same id on the platform.
        self.user = hub.user(tenant=unique("tenant"))
        body = {
            "platform": contract.platform,
            "name": unique(contract.platform),
            "credentials": contract.webhook_credentials(),
        }
        self.account = self.user.post("/api/accounts", body, expect=201)
        self.contract.generated = self.account.get("generatedCredentials", {})
        contract.open(self)
        place = wait_until(
            lambda: self.user.conversations(account=self.account["id"]), what="the conversation"
        )
        self.place = next(one for one in place if one["externalId"] == contract.place)["id"]
        self.inbound = next(
            one for one in self.user.messages(self.place) if one["externalId"] == contract.inbound_id
        )

    def patch(self, **values):
        return self.user.patch(f"/api/accounts/{self.account['id']}", values)

    def send(self, text=TEXT, expect=201, **more):
        body = ({"text": text} if text is not None else {}) | more
        path = f"/api/conversations/{self.place}/messages"
        return self.user.request("POST", path, expect=expect, json=body).json()

    def upload(self):
        contract = self.contract
        headers = {"Content-Type": contract.file_type, "Authorization": f"Bearer {self.user.token}"}
        path = f"{self.hub.url}/api/uploads?name={contract.file_name}"
        return requests.post(path, data=PNG, headers=headers, timeout=15).json()["uploadId"]

    def attachment(self):
        if self.contract.files == "upload":
            return {"uploadId": self.upload()}
        return {"url": PICTURE_URL, "name": self.contract.file_name, "mimeType": self.contract.file_type}

    def status(self, message):
        return self.user.get(f"/api/messages/{message['id']}")

    def settled(self, message, wanted, seconds=20):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.status(message)
            if found["status"] == wanted:
                return found
            # What failed stays so.
            assert found["status"] != "failed", self.told(found)
            time.sleep(0.05)
        raise AssertionError(f"not {wanted} within {seconds} s: {self.told(self.status(message))}")

    def told(self, message):
        said = {name: message.get(name) for name in ("status", "statusReason", "canRetry", "externalId")}
        calls = [f"{call.method} {call.path}" for call in self.contract.calls]
        return f"{said}; violations {self.contract.violations}; calls {calls}"

    def record(self):
        return self.user.get(f"/api/accounts/{self.account['id']}")

    def check(self):
        assert self.contract.violations == []

    def close(self):
        self.user.request("DELETE", f"/api/accounts/{self.account['id']}")
        self.contract.close()
