"""A real SMTP server (aiosmtpd) for the tests of the mail client and of mailboxes.

    smtp_server.py FOLDER

FOLDER holds cert.pem and key.pem. Prints three ports: plain without a login, STARTTLS with one, and implicit
TLS with one; runs until its standard input ends or a line comes. Accepted messages become FOLDER/NUMBER.eml and NUMBER.json.
The local part of a recipient says what happens to it: rcpt550, rcpt450, data554, data451; held: kept, and answered after
some seconds. Whoever logs in has the password.
"""

import asyncio
import json
import pathlib
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Keeper:
    def __init__(self, folder):
        self.folder = folder
        self.number = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        local = address.split("@")[0]
        if local == "rcpt550":
            return "550 5.1.1 no such user"
        if local == "rcpt450":
            return "450 4.2.1 come back later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):
        local = envelope.rcpt_tos[0].split("@")[0]
        if local == "data554":
            return "554 5.7.1 not wanted"
        if local == "data451":
            return "451 4.3.0 try again"
        self.number += 1
        facts = {
            "sender": envelope.mail_from,
            "recipients": envelope.rcpt_tos,
            "options": envelope.mail_options,
            "tls": server.transport.get_extra_info("cipher") is not None,
            "user": getattr(session, "user", None),
            "hello": session.host_name,
        }
        (self.folder / f"{self.number}.eml").write_bytes(envelope.original_content)
        (self.folder / f"{self.number}.json").write_text(json.dumps(facts))
        if local == "held":
            await asyncio.sleep(5)
        return f"250 2.0.0 queued as {self.number}"


def authenticate(server, session, envelope, mechanism, data):
    if data.password == "geheim-ü".encode():
        session.user = data.login.decode()
        return AuthResult(success=True)
    return AuthResult(success=False, handled=False)


async def main():
    folder = pathlib.Path(sys.argv[1])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    keeper = Keeper(folder)
    loop = asyncio.get_running_loop()

    async def listen(tls=None, **options):
        def make():
            return SMTP(
                keeper, hostname="mx.test", enable_SMTPUTF8=True, data_size_limit=8 << 20, loop=loop, **options
            )

        server = await loop.create_server(make, "127.0.0.1", 0, ssl=tls)
        return server.sockets[0].getsockname()[1]

    login = {"auth_required": True, "authenticator": authenticate}
    ports = [
        await listen(),
        await listen(tls_context=context, require_starttls=True, **login),
        await listen(tls=context, auth_require_tls=False, **login),
    ]
    print(*ports, flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)


asyncio.run(main())
