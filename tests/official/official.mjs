// The same as official.py, by the libraries of npm.
import { readFileSync } from "node:fs";
import { validateSignature } from "@line/bot-sdk";
import { LinearWebhookClient } from "@linear/sdk/webhooks";
import { sign, verify } from "@octokit/webhooks-methods";
import { Receiver } from "@upstash/qstash";
import Razorpay from "razorpay";
import { WebhooksHelper } from "square";
import { Webhook as Standard } from "standardwebhooks";
import Stripe from "stripe";
import { Webhook as Svix } from "svix";

const task = JSON.parse(readFileSync(0, "utf8"));
const { secret, standard, now } = task;
const at = new Date(now * 1000);
const stripe = new Stripe("sk_test_none");

const signers = [
  async (body) => ["@octokit/webhooks-methods", "github", { "x-hub-signature-256": await sign(secret, body), "x-github-event": "push" }],
  async (body) => ["stripe", "stripe", { "stripe-signature": stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp: now }) }],
  async (body) => ["standardwebhooks", "standard", named("webhook", new Standard(standard).sign("msg_2", at, body))],
  async (body) => ["svix", "svix", named("svix", new Svix(standard).sign("msg_2", at, body))],
];

function named(prefix, signature) {
  return { [`${prefix}-id`]: "msg_2", [`${prefix}-timestamp`]: `${now}`, [`${prefix}-signature`]: signature };
}

const signed = [];
for (const text of task.bodies) {
  const body = Buffer.from(text, "base64").toString("utf8");
  for (const signer of signers) {
    // octokit signs no empty text.
    const made = body === "" && signer === signers[0] ? null : await signer(body);
    if (made) {
      const [library, source, headers] = made;
      signed.push({ library: `${library} (npm)`, source, query: "", headers, body: text });
    }
  }
}

const checks = {
  "@octokit/webhooks-methods": (headers, body) => verify(secret, body, headers["x-hub-signature-256"]),
  stripe: (headers, body) => Boolean(stripe.webhooks.constructEvent(body, headers["stripe-signature"], secret)),
  standardwebhooks: (headers, body) => Boolean(new Standard(standard).verify(body, headers)),
  svix: (headers, body) => Boolean(new Svix(standard).verify(body, headers)),
  line: (headers, body) => validateSignature(body, secret, headers["x-line-signature"]),
  linear: (headers, body) => new LinearWebhookClient(secret).verify(Buffer.from(body), headers["linear-signature"], JSON.parse(body).webhookTimestamp),
  qstash: (headers, body) => new Receiver({ currentSigningKey: secret, nextSigningKey: secret }).verify({ signature: headers["upstash-signature"], body }),
  razorpay: (headers, body) => Razorpay.validateWebhookSignature(body, headers["x-razorpay-signature"], secret),
  square: (headers, body) =>
    WebhooksHelper.verifySignature({
      requestBody: body,
      signatureHeader: headers["x-square-hmacsha256-signature"],
      signatureKey: secret,
      notificationUrl: "https://hooks.example.com/hooks/square",
    }),
};
const verified = [];
for (const { library, headers, body } of task.to_verify) {
  const check = checks[library];
  if (!check) continue;
  try {
    verified.push([library, await check(headers, Buffer.from(body, "base64").toString("utf8"))]);
  } catch (err) {
    verified.push([library, `${err}`]);
  }
}
process.stdout.write(JSON.stringify({ signed, verified }));
