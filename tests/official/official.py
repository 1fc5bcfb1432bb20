"""Signs and verifies by what senders give their own customers.

Reads one JSON document: {"secret", "standard", "now", "bodies": [text…], "to_verify": [{"library", "headers", "body"}…]}.
Writes one: {"signed": [{"library", "source", "query", "headers", "body"}…], "verified": [[library, true or why not]…]}.
Bodies are base64 throughout.
"""
import base64
import datetime
import hashlib
import json
import sys
import urllib.parse

import Adyen.util
import gocardless_pro.webhooks
import http_message_signatures
import jwt
import linebot.v3.webhook
import livekit.api
import nacl.signing
import paddle_billing.Notifications
import qstash
import razorpay
import requests
import slack_sdk.signature
import square.utils.webhooks_helper
import standardwebhooks
import stripe
import svix
import twilio.request_validator

TASK = json.load(sys.stdin)
SECRET, STANDARD, NOW = TASK["secret"], TASK["standard"], TASK["now"]
URL = "https://hooks.example.com/hooks/twilio"
SEED = bytes(range(32))
ADYEN_KEY = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"


def by_stripe(body):
    header = stripe.WebhookSignature.generate_signature_header(body, SECRET, timestamp=NOW)
    yield "stripe", "stripe", "", {"Stripe-Signature": header}, body


def by_slack(body):
    signature = slack_sdk.signature.SignatureVerifier(SECRET).generate_signature(timestamp=str(NOW), body=body)
    yield "slack_sdk", "slack", "", {"X-Slack-Request-Timestamp": str(NOW), "X-Slack-Signature": signature}, body


def by_twilio(body):
    validator = twilio.request_validator.RequestValidator(SECRET)
    fields = {"From": "+15017122661", "Body": body, "Zip": ""}
    # Percent-encoded a body can be three times as long as Gatepost takes.
    if len(body) < 100_000:
        headers = {"X-Twilio-Signature": validator.compute_signature(URL, fields)}
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        yield "twilio form", "twilio", "", headers, urllib.parse.urlencode(fields)
    query = "?bodySHA256=" + validator.compute_hash(body)
    headers = {"X-Twilio-Signature": validator.compute_signature(URL + query, {}), "Content-Type": "application/json"}
    yield "twilio body", "twilio", query, headers, body


def by_standard(body):
    at = datetime.datetime.fromtimestamp(NOW, tz=datetime.timezone.utc)
    for name, webhook, prefix in [
        ("svix", svix.Webhook(STANDARD), "svix"),
        ("standardwebhooks", standardwebhooks.Webhook(STANDARD), "webhook"),
    ]:
        headers = {f"{prefix}-id": "msg_1", f"{prefix}-timestamp": str(NOW)}
        headers[f"{prefix}-signature"] = webhook.sign("msg_1", at, body)
        yield name, {"svix": "svix", "webhook": "standard"}[prefix], "", headers, body


def by_nacl(body):
    key = nacl.signing.SigningKey(SEED)
    signature = key.sign(str(NOW).encode() + body.encode()).signature.hex()
    yield "PyNaCl", "discord", "", {"X-Signature-Ed25519": signature, "X-Signature-Timestamp": str(NOW)}, body


def by_livekit(body):
    digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
    token = livekit.api.AccessToken("devkey", SECRET).with_sha256(digest).to_jwt()
    yield "livekit-api", "livekit", "", {"Authorization": token, "Content-Type": "application/webhook+json"}, body


def by_jwt(body):
    digest = base64.urlsafe_b64encode(hashlib.sha256(body.encode()).digest()).decode()
    claims = {"iss": "Upstash", "sub": URL, "exp": NOW + 300, "nbf": NOW, "iat": NOW, "jti": "jwt_1", "body": digest}
    yield "PyJWT", "qstash", "", {"Upstash-Signature": jwt.encode(claims, SECRET, algorithm="HS256")}, body


class Resolver(http_message_signatures.HTTPSignatureKeyResolver):
    def resolve_private_key(self, key_id):
        return SECRET.encode()

    resolve_public_key = resolve_private_key


def by_message_signatures(body):
    request = requests.Request("POST", "https://hooks.example.com/hooks/message?a=b", data=body.encode()).prepare()
    signer = http_message_signatures.HTTPMessageSigner(
        signature_algorithm=http_message_signatures.algorithms.HMAC_SHA256, key_resolver=Resolver()
    )
    at = datetime.datetime.fromtimestamp(NOW, tz=datetime.timezone.utc)
    signer.sign(request, key_id="k", created=at, covered_component_ids=("@method", "@path", "@query"), body=body.encode())
    wanted = ("Signature", "Signature-Input", "Content-Digest")
    headers = {name: str(request.headers[name]) for name in wanted}
    yield "http-message-signatures", "message", "?a=b", headers, body


def by_adyen(body):
    item = {
        "amount": {"currency": "EUR", "value": 1130},
        "eventCode": "AUTHORISATION",
        "merchantAccountCode": "TestMerchant",
        "merchantReference": body,
        "pspReference": "7914073381342284",
        "success": "true",
    }
    signature = Adyen.util.generate_notification_sig(item, ADYEN_KEY).decode()
    item["additionalData"] = {"hmacSignature": signature}
    document = {"live": "false", "notificationItems": [{"NotificationRequestItem": item}]}
    yield "Adyen", "adyen", "", {}, json.dumps(document, ensure_ascii=False)


SIGNERS = [
    by_stripe, by_slack, by_twilio, by_standard, by_nacl, by_livekit, by_jwt, by_message_signatures, by_adyen,
]


def signed():
    for text in TASK["bodies"]:
        body = base64.b64decode(text).decode()
        for signer in SIGNERS:
            for library, source, query, headers, sent in signer(body):
                # Adyen's and Twilio's are longer than what is in them.
                if len(sent.encode()) <= 1 << 20:
                    sent = base64.b64encode(sent.encode()).decode()
                    yield {"library": library, "source": source, "query": query, "headers": headers, "body": sent}


class Received:
    """A request as frameworks hand it on."""

    def __init__(self, headers, body):
        self.headers, self.body = {name.title(): value for name, value in headers.items()}, body.encode()


def by_paddle(headers, body):
    secret = paddle_billing.Notifications.Secret(SECRET)
    return paddle_billing.Notifications.Verifier(300).verify(Received(headers, body), secret)


def by_square(headers, body):
    return square.utils.webhooks_helper.verify_signature(
        request_body=body,
        signature_header=headers["x-square-hmacsha256-signature"],
        signature_key=SECRET,
        notification_url="https://hooks.example.com/hooks/square",
    )


def raises_nothing(verify):
    """For those that raise where the signature is wrong, and return something else or nothing."""
    verify()
    return True


VERIFIERS = {
    "gocardless": lambda headers, body: raises_nothing(
        lambda: gocardless_pro.webhooks.parse(body, SECRET, headers["webhook-signature"])
    ),
    "line": lambda headers, body: linebot.v3.webhook.SignatureValidator(SECRET).validate(
        body, headers["x-line-signature"]
    ),
    "paddle": by_paddle,
    "qstash": lambda headers, body: raises_nothing(
        lambda: qstash.Receiver(SECRET, SECRET).verify(signature=headers["upstash-signature"], body=body)
    ),
    "razorpay": lambda headers, body: raises_nothing(
        lambda: razorpay.Client().utility.verify_webhook_signature(body, headers["x-razorpay-signature"], SECRET)
    ),
    "slack_sdk": lambda headers, body: slack_sdk.signature.SignatureVerifier(SECRET).is_valid_request(body, headers),
    "square": by_square,
    "standardwebhooks": lambda headers, body: raises_nothing(
        lambda: standardwebhooks.Webhook(STANDARD).verify(body, headers)
    ),
    "stripe": lambda headers, body: stripe.WebhookSignature.verify_header(
        body, headers["stripe-signature"], SECRET, tolerance=300
    ),
    "svix": lambda headers, body: raises_nothing(lambda: svix.Webhook(STANDARD).verify(body, headers)),
}


def verified():
    for one in TASK["to_verify"]:
        verify = VERIFIERS.get(one["library"])
        if verify is None:
            continue
        body = base64.b64decode(one["body"]).decode()
        try:
            yield one["library"], verify(one["headers"], body)
        except Exception as err:  # Each library has its own kinds.
            yield one["library"], f"{type(err).__name__}: {err}"


json.dump({"signed": list(signed()), "verified": list(verified())}, sys.stdout)
