"""A relay for tests: prints its port, and then each mail that it takes, as one line of JSON.

Arguments: plain, starttls or implicit; with TLS, the certificate and its key. Signing in is anna with the password hush.
Mail to full@… is put off, mail to nobody@… is refused.
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("full@"):
            return "452 4.2.2 The mailbox is full"
        if address.startswith("nobody@"):
            return "550 5.1.1 No such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = [
            {"type": part.get_content_type(), "text": str(part.get_content()) if part.get_content_maintype() == "text" else ""}
            for part in message.walk()
            if not part.is_multipart()
        ]
        print(json.dumps({
            "hello": session.host_name,
            "user": session.auth_data.decode() if session.auth_data else None,
            "tls": session.ssl is not None,
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "headers": [[name, str(value)] for name, value in message.items()],
            "parts": parts,
        }), flush=True)
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    known = isinstance(data, LoginPassword) and (data.login, data.password) == (b"anna", b"hush")
    return AuthResult(success=known, auth_data=data.login if known else None)


async def main(kind, certificate=None, key=None):
    context = None
    if kind != "plain":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)

    def protocol():
        return SMTP(
            Handler(),
            hostname="relay.example",
            tls_context=context if kind == "starttls" else None,
            authenticator=authenticate,
            auth_require_tls=kind == "starttls",
        )

    server = await asyncio.get_running_loop().create_server(
        protocol, "127.0.0.1", 0, ssl=context if kind == "implicit" else None
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
