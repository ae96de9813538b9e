"""A private Dovecot and an SMTP server for one file of tests: loopback only, in a folder of their own.

Every user exists and has the same password; a mailbox is what its user's name says.
"""

import contextlib
import email
import email.policy
import email.utils
import grp
import imaplib
import json
import os
import pwd
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from email.message import EmailMessage
from pathlib import Path

from hub import free_port, wait_until

DOVECOT = "/usr/sbin/dovecot"
PASSWORD = "geheim-ü"


def configuration(folder, port, owner):
    root = os.getuid() == 0
    me, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    return f"""
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <{folder}/cert.pem
ssl_key = <{folder}/key.pem
auth_mechanisms = plain login
default_internal_user = {"dovecot" if root else me}
default_internal_group = {"dovecot" if root else group}
default_login_user = {"dovenull" if root else me}
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:{folder}/mail/%u
mail_max_userip_connections = 100
auth_failure_delay = 0
auth_cache_size = 0
mail_fsync = never
passdb {{
  driver = static
  args = password={PASSWORD}
}}
userdb {{
  driver = static
  args = uid={owner[0]} gid={owner[1]} home={folder}/mail/%u
}}
service imap-login {{
  chroot =
  service_count = 0
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    port = {port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
  # Whoever gave a wrong password is not made to wait.
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox Sent {{
    auto = create
    special_use = \\Sent
  }}
}}
"""


class MailServers:
    def __init__(self, owner=None):
        """owner: the user and the group that own the mailboxes."""
        owner = owner or ((65534, 65534) if os.getuid() == 0 else (os.getuid(), os.getgid()))
        self.folder = Path(tempfile.mkdtemp(prefix="e2e-mail-", dir="/tmp"))
        self.folder.chmod(0o755)
        for name in ("run", "state", "mail"):
            (self.folder / name).mkdir()
        (self.folder / "mail").chmod(0o777)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
             "-keyout", self.folder / "key.pem", "-out", self.authority, "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost"],
            check=True, stderr=subprocess.DEVNULL,
        )
        self.imap_port = free_port()
        (self.folder / "dovecot.conf").write_text(configuration(self.folder, self.imap_port, owner))
        self.dovecot = self.start_dovecot()
        self.smtp = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("smtp_server.py"), self.folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        self.smtp_plain, self.smtp_starttls, self.smtp_tls = map(int, self.smtp.stdout.readline().split())
        wait_until(self.is_up, 10, "Dovecot", every=0.1)

    def start_dovecot(self):
        return subprocess.Popen(
            [DOVECOT, "-F", "-c", self.folder / "dovecot.conf"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def restart_dovecot(self):
        """Its sessions end at once; left alone they would tell of it in their own time."""
        sessions = Path(f"/proc/{self.dovecot.pid}/task/{self.dovecot.pid}/children").read_text().split()
        self.dovecot.terminate()
        self.dovecot.wait(10)
        for session in sessions:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(session), signal.SIGKILL)
        self.dovecot = self.start_dovecot()
        wait_until(self.is_up, 10, "Dovecot", every=0.1)

    @property
    def authority(self):
        return self.folder / "cert.pem"

    def is_up(self):
        with contextlib.suppress(OSError, imaplib.IMAP4.error), self.mailbox("nobody"):
            return True

    def mailbox(self, user):
        return Mailbox(self, user)

    def sent(self, recipient, after=0):
        """What the SMTP server took for an address: its bytes, facts and number; in the order in which it came."""
        found = []
        for facts in self.folder.glob("*.json"):
            number = int(facts.stem)
            with contextlib.suppress(ValueError):
                content = json.loads(facts.read_text())
                if number > after and recipient in content["recipients"]:
                    found.append((number, content, (self.folder / f"{number}.eml").read_bytes()))
        return sorted(found, key=lambda item: item[0])

    def carry(self, recipient, box):
        """Waits for a mail to an address and brings it into its mailbox, as the servers in between do."""
        number, facts, raw = wait_until(lambda: self.sent(recipient), 10, f"a mail to {recipient}")[-1]
        with self.mailbox(box) as mailbox:
            mailbox.put(raw)
            return facts, mailbox.newest()

    def close(self):
        self.smtp.stdin.close()
        self.smtp.wait(5)
        self.dovecot.terminate()
        self.dovecot.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)


class Mailbox:
    """Somebody's mailbox, opened by a client that is not the hub."""

    def __init__(self, servers, user):
        context = ssl.create_default_context(cafile=servers.authority)
        self.imap = imaplib.IMAP4_SSL("localhost", servers.imap_port, ssl_context=context, timeout=10)
        self.imap.authenticate("PLAIN", lambda _: f"\0{user}\0{PASSWORD}".encode())
        # Dovecot makes a mailbox when it is opened first, and not at the login.
        kind, answer = self.imap.select(readonly=True)
        assert kind == "OK", answer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError, imaplib.IMAP4.error):
            self.imap.logout()

    def put(self, message, folder="INBOX", date=None, flags=None):
        raw = message if isinstance(message, bytes) else message.as_bytes(policy=email.policy.SMTP)
        when = imaplib.Time2Internaldate(date or time.time())
        kind, answer = self.imap.append(folder, flags, when, raw)
        assert kind == "OK", answer

    def all(self, folder="INBOX"):
        self.imap.select(folder, readonly=True)
        numbers = self.imap.search(None, "ALL")[1][0].split()
        found = [self.imap.fetch(number, "(BODY.PEEK[])")[1][0][1] for number in numbers]
        return [email.message_from_bytes(raw, policy=email.policy.default) for raw in found]

    def newest(self):
        return self.all()[-1]

    def make_anew(self, folder):
        """The folder gets another UIDVALIDITY and is empty."""
        self.imap.delete(folder)
        kind, answer = self.imap.create(folder)
        assert kind == "OK", answer


def written(sender, to, subject, text, identifier=None, answers=None, date=None, **headers):
    """A mail, as a client writes it. `answers`: the mail that it answers."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = email.utils.formatdate(date or time.time())
    message["Message-ID"] = identifier or email.utils.make_msgid(domain="peer.test")
    if answers is not None:
        message["In-Reply-To"] = answers["Message-ID"]
        message["References"] = " ".join(filter(None, [answers["References"], answers["Message-ID"]]))
    for name, value in headers.items():
        message[name] = value
    message.set_content(text)
    return message
