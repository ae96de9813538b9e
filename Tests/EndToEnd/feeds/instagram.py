"""Meta's conversations of an Instagram account."""

from feeds import messenger


class Feed(messenger.Feed):
    platform = "instagram"
    kind = "instagram"

    def __init__(self):
        super().__init__()
        self.owner = "me"

    def credentials(self):
        shared = {
            "appSecret": f"app-secret-{self.number}",
            "accessToken": self.token,
            "apiURL": self.server.url,
        }
        return shared | {"instagramAccountId": self.page}

    def conversation(self, place, messages, limit, wanted):
        answer = super().conversation(place, messages, limit, wanted)
        for message in answer["messages"]["data"]:
            for person in (message.get("from"), *message.get("to", {}).get("data", [])):
                if person:
                    person |= {"username": person.get("name", "")}
        return answer
