"""Debian's own mail server (Exim) beside a private Dovecot: what it takes it puts into the mailboxes there.

Loopback only, in a folder of its own. It asks for STARTTLS and a login; whoever has the password may send to
every mailbox that exists. Only an administrator may start it, and with a configuration that is not the system's
it goes on as its own user, who has to own the mailboxes.
"""

import base64
import os
import pwd
import shutil
import smtplib
import ssl
import subprocess

from hub import free_port, wait_until
from mail_servers import PASSWORD

EXIM = "/usr/sbin/exim4"


def can_run():
    return os.getuid() == 0 and shutil.which(EXIM) is not None


def owner():
    """The user and the group that it runs as."""
    user = pwd.getpwnam("Debian-exim")
    return user.pw_uid, user.pw_gid


def configuration(folder, mail, certificate, key, port):
    return f"""
primary_hostname = mx.test
spool_directory = {folder}/spool
log_file_path = {folder}/log/%s
pid_file_path =
keep_environment =
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
deliver_drop_privilege = true
tls_advertise_hosts = *
tls_certificate = {certificate}
tls_privatekey = {key}
host_lookup =
rfc1413_hosts =
acl_smtp_rcpt = check_recipient
begin acl
check_recipient:
  deny
    message = log in first
    !authenticated = *
  deny
    message = no such mailbox
    !verify = recipient
  accept
begin routers
mailboxes:
  driver = accept
  local_parts = dsearch,filter=dir;{mail}
  transport = maildir
begin transports
maildir:
  driver = appendfile
  directory = {mail}/$local_part_data
  maildir_format
  envelope_to_add
  return_path_add
begin retry
* * F,1m,10s
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_advertise_condition = ${{if def:tls_in_cipher}}
  server_condition = ${{if eq{{$auth3}}{{{PASSWORD}}}}}
  server_set_id = $auth2
"""


class Exim:
    def __init__(self, servers):
        self.authority = servers.authority
        self.folder = servers.folder / "exim"
        self.port = free_port()
        key, file = self.folder / "key.pem", self.folder / "exim.conf"
        for folder in (self.folder, self.folder / "spool", self.folder / "log"):
            folder.mkdir()
            os.chown(folder, *owner())
        key.write_bytes((servers.folder / "key.pem").read_bytes())
        key.chmod(0o600)
        os.chown(key, *owner())
        file.write_text(configuration(self.folder, servers.folder / "mail", servers.authority, key, self.port))
        with (self.folder / "errors").open("wb") as errors:
            self.process = subprocess.Popen(
                [EXIM, "-C", file, "-bdf"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
            )
        wait_until(self.is_up, 10, "Exim", every=0.1)

    def is_up(self):
        try:
            with smtplib.SMTP("127.0.0.1", self.port, timeout=5):
                return True
        except OSError:
            return False

    def submit(self, message, user):
        """Sends a mail as one of the users, by Python's own client."""
        with smtplib.SMTP("localhost", self.port, timeout=10) as client:
            client.starttls(context=ssl.create_default_context(cafile=self.authority))
            client.ehlo()
            # By hand: smtplib knows ASCII passwords only.
            proof = base64.b64encode(f"\0{user}\0{PASSWORD}".encode()).decode()
            code, text = client.docmd("AUTH", f"PLAIN {proof}")
            assert code == 235, text
            client.send_message(message)

    def close(self):
        self.process.terminate()
        self.process.wait(10)
