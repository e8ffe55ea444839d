// SPDX-License-Identifier: Apache-2.0

// Accepts webhooks of BB-MCP: checks the signature and its time, drops repetitions
// and answers at once; the work is done afterwards.
import { createHmac, timingSafeEqual } from "node:crypto";
import express from "express";

const secret = process.env.WEBHOOK_SECRET;
if (!secret) throw new Error("WEBHOOK_SECRET is not set");
const key = secret.startsWith("whsec_") ? Buffer.from(secret.slice("whsec_".length), "base64") : Buffer.from(secret);
const tolerance = 5 * 60; // seconds

// Remembered in memory. Use a unique key in your database for the ids and a
// queue that survives a restart: once we answered 2xx the event is ours.
const queue = [];
const seen = new Set();

// Checks the signature over id, time and body as they arrived, in constant time,
// and refuses what was signed more than five minutes ago: every attempt has a time
// of its own, so only replays are that old.
function verify(request, body) {
  const timestamp = request.get("webhook-timestamp") ?? "";
  if (!/^\d{1,12}$/.test(timestamp) || Math.abs(Date.now() / 1000 - Number(timestamp)) > tolerance) return false;
  const signed = createHmac("sha256", key).update(`${request.get("webhook-id") ?? ""}.${timestamp}.`).update(body);
  const expected = Buffer.from(`v1,${signed.digest("base64")}`);
  const signatures = (request.get("webhook-signature") ?? "").split(" "); // two during a rotation
  return signatures.some((signature) => {
    const given = Buffer.from(signature);
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
}

function work() {
  const event = queue.shift();
  console.log("processed", event.id, event.type); // your work goes here
}

const app = express();

// Not express.json(): it stops at 100 kB and parses before anything is verified.
// Bodies have at most 256 KiB.
app.post("/hooks/bbmcp", express.raw({ type: () => true, limit: "512kb" }), (request, response) => {
  const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
  if (!verify(request, body)) return response.status(401).send("wrong signature\n");
  const id = request.get("webhook-id");
  if (!seen.has(id)) {
    if (queue.length >= 1000) return response.set("Retry-After", "5").status(503).send("busy\n");
    queue.push({ id, type: request.get("X-BBMCP-Event"), body });
    seen.add(id);
    if (seen.size > 10_000) seen.delete(seen.values().next().value); // the oldest
    setImmediate(work);
  }
  response.status(204).end();
});

// Without this, Express answers errors such as 413 with a stack trace.
app.use((error, request, response, next) => {
  response.status(error.status ?? 500).send(`${error.type ?? "error"}\n`);
});

// Behind the proxy that ends TLS; in a container set HOST=0.0.0.0.
app.listen(Number(process.env.PORT ?? 8080), process.env.HOST ?? "127.0.0.1");
