"""One connection to a broker: made, used by a single thread, and lost.

A connection has a client of its own, so that nothing of an earlier one is sent again behind the
caller's back: what must survive an outage is kept by the publisher.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from streamclf.core.errors import StreamclfError, UsageError
from streamclf.notify.mqtt.options import MqttOptions

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage

KEEPALIVE_S = 30
"""Seconds after which a broker that is silent is asked whether it is there."""
CONNECT_S = 10.0
"""Longest wait, in seconds, for a broker's answer."""
_WRONG_USER = (4, 5, 134, 135)  # MQTT 3.1.1 and 5: not authorised, bad user name or password


class BrokerError(StreamclfError):
    """The broker is not there, does not let in, or is gone."""


class _ClosedSocket(ssl.SSLSocket):
    """Encrypted socket that is closed where its begin fails; paho leaves it open."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def make_tls(options: MqttOptions) -> ssl.SSLContext | None:
    """Make what encrypts connections; None where they are not encrypted.

    Raises:
        UsageError: A file of certificates or of a key cannot be used.
    """
    if not options.uses_tls:
        return None
    context = ssl.create_default_context()
    if options.ca_file is not None:
        try:
            context = ssl.create_default_context(cafile=str(options.ca_file))
        except (OSError, ssl.SSLError) as error:
            raise UsageError(
                f"ca-file {options.ca_file}: {_reason(error)}: name a file of certificates (PEM)"
            ) from error
    if options.certificate_file is not None:
        key = str(options.key_file) if options.key_file is not None else None
        try:
            context.load_cert_chain(str(options.certificate_file), key, lambda: "")
        except (OSError, ssl.SSLError) as error:
            raise UsageError(
                f"certificate-file {options.certificate_file}: {_reason(error)}: name a "
                "certificate and by key-file its key (PEM), without a password"
            ) from error
    context.sslsocket_class = _ClosedSocket
    return context


class Link:
    """A connection.

    Args:
        options: The broker.
        client_id: Name of this client at the broker.
        will: Topic and payload that the broker publishes, retained, when this client is gone.
        on_message: Called with topic, payload and whether it was retained.
        on_sent: Called with the number of a message that the broker has.
        wake: Socket at which a byte ends `wait`.

    Raises:
        BrokerError: It cannot be made.
        UsageError: The password or a certificate cannot be had.
    """

    def __init__(
        self,
        options: MqttOptions,
        client_id: str,
        will: tuple[str, str],
        *,
        on_message: Callable[[str, bytes, bool], None],
        on_sent: Callable[[int], None],
        wake: socket.socket,
    ) -> None:
        from paho.mqtt.client import Client, MQTTv311  # which few need
        from paho.mqtt.enums import CallbackAPIVersion

        self._options = options
        self._wake = wake
        self._answer: Any = None
        self._why_lost = ""
        self._client: Client = Client(
            CallbackAPIVersion.VERSION2, client_id, clean_session=True, protocol=MQTTv311,
            reconnect_on_failure=False,
        )  # fmt: skip
        if options.user is not None:
            self._client.username_pw_set(options.user, options.read_password())
        if (tls := make_tls(options)) is not None:
            self._client.tls_set_context(tls)
        self._client.will_set(*will, qos=1, retain=True)
        self._client.on_connect = self._note_answer
        self._client.on_disconnect = self._note_loss
        self._client.on_message = lambda client, data, message: self._hand_on(message, on_message)
        self._unsent: set[int] = set()
        self._on_sent = on_sent
        self._client.on_publish = lambda client, data, mid, reason, properties: self._note_sent(mid)
        self._selector = selectors.DefaultSelector()
        self._selector.register(wake, selectors.EVENT_READ)
        try:
            self._connect()
        except BaseException:
            self.close()
            raise

    def publish(self, topic: str, payload: str, *, retain: bool) -> int:
        """Publish at least once (QoS 1); returns the number of the message."""
        number = self._client.publish(topic, payload, qos=1, retain=retain).mid
        self._unsent.add(number)
        return number

    def has_sent(self, number: int) -> bool:
        """Whether the broker has a message."""
        return number not in self._unsent

    def subscribe(self, *topics: str) -> None:
        """Subscribe to topics."""
        self._client.subscribe([(topic, 1) for topic in topics])

    def wait(self, timeout_s: float) -> None:
        """Work on the connection until something has come, somebody wakes, or the time is over.

        Raises:
            BrokerError: The connection is lost.
        """
        sock: Any = self._client.socket()
        if sock is None:
            raise self._lost()
        events = selectors.EVENT_READ
        if self._client.want_write():
            events |= selectors.EVENT_WRITE
        pending = getattr(sock, "pending", lambda: 0)
        if pending():
            timeout_s = 0.0
        self._selector.register(sock, events)
        try:
            ready = self._selector.select(timeout_s)
        finally:
            self._selector.unregister(sock)
        for key, what in ready:
            if key.fileobj is self._wake:
                self._wake.recv(4096)
            elif what & selectors.EVENT_WRITE:
                self._client.loop_write()
        self._client.loop_read()  # which does not wait
        while self._client.socket() is sock and pending():
            self._client.loop_read()
        self._client.loop_misc()
        if self._client.socket() is None:
            raise self._lost()

    def flush(self, timeout_s: float, until: Callable[[], bool]) -> None:
        """Work on the connection until something holds, or the time is over."""
        end = time.monotonic() + timeout_s
        while not until() and (left := end - time.monotonic()) > 0:
            self.wait(min(left, 0.1))

    def close(self, *, politely: bool = False) -> None:
        """End the connection.

        Args:
            politely: Whether the broker is told; otherwise it publishes the will.
        """
        self._client.on_disconnect = None
        if politely and self._client.socket() is not None:
            self._client.disconnect()
        sock = self._client.socket()
        if sock is not None:
            sock.close()
        self._selector.close()

    def _connect(self) -> None:
        options = self._options
        try:
            self._client.connect_timeout = CONNECT_S
            self._client.connect(options.host, options.real_port, KEEPALIVE_S)
        except (OSError, ValueError) as error:
            raise BrokerError(f"{options.address}: {_explain(error, options)}") from error
        end = time.monotonic() + CONNECT_S
        while self._answer is None:
            left = end - time.monotonic()
            if left <= 0:
                raise BrokerError(
                    f"{options.address}: does not answer within {CONNECT_S:g} s: is this a broker?"
                )
            self.wait(left)
        if self._answer.is_failure:
            raise BrokerError(f"{options.address}: {_explain_refusal(self._answer, options)}")

    def _note_answer(
        self, client: object, data: object, flags: object, reason: Any, properties: object
    ) -> None:
        self._answer = reason

    def _note_sent(self, number: int) -> None:
        self._unsent.discard(number)
        self._on_sent(number)

    def _note_loss(
        self, client: object, data: object, flags: object, reason: Any, properties: object
    ) -> None:
        self._why_lost = str(reason)

    def _hand_on(
        self, message: MQTTMessage, on_message: Callable[[str, bytes, bool], None]
    ) -> None:
        on_message(message.topic, bytes(message.payload), message.retain)

    def _lost(self) -> BrokerError:
        options = self._options
        if self._answer is not None and self._answer.is_failure:
            return BrokerError(f"{options.address}: {_explain_refusal(self._answer, options)}")
        if self._answer is None:
            hint = "" if options.uses_tls else ": it may want TLS (tls = true)"
            return BrokerError(f"{options.address}: ends the connection at once{hint}")
        return BrokerError(f"{options.address}: the connection is lost")


def _explain_refusal(reason: Any, options: MqttOptions) -> str:
    if reason.value not in _WRONG_USER:
        return f"refuses the connection: {str(reason).lower()}"
    if options.user is None:
        return "lets in no one without a name: set user and password-file in [mqtt]"
    return f"refuses the user {options.user}, or the password: set user and password-file in [mqtt]"


def _explain(error: Exception, options: MqttOptions) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not accepted: {error.verify_message.rstrip('.')}: name by ca-file "
            "who signed it, and by host the name that stands in it"
        )
    if isinstance(error, ssl.SSLError | ConnectionResetError) and options.uses_tls:
        return f"the encrypted connection fails: {_reason(error)}: is port the one for TLS?"
    if isinstance(error, socket.gaierror):
        return "no machine of this name is known: check host"
    if isinstance(error, ConnectionRefusedError):
        return "nobody answers there: is the broker running, and port right?"
    if isinstance(error, TimeoutError):
        return f"does not answer within {CONNECT_S:g} s"
    return _reason(error)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return str(getattr(error, "strerror", None) or error or type(error).__name__).lower()
