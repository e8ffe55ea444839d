// How a receiver verifies a delivery, with nothing but node:crypto.

import { createHmac, timingSafeEqual } from "node:crypto";

function equal(a, b) {
  const x = Buffer.from(a);
  const y = Buffer.from(b);
  return x.length === y.length && timingSafeEqual(x, y);
}

// X-BBMCP-Signature, over a body that the framework has parsed already: it is
// written again by JSON.stringify. While a secret is being rotated the header
// that ends in -next may hold the signature that this receiver knows.
export function verify(headers, parsedBody, secret) {
  const expected = createHmac("sha256", secret).update(JSON.stringify(parsedBody)).digest("hex");
  return [headers["x-bbmcp-signature"], headers["x-bbmcp-signature-next"]].some((given) => given !== undefined && equal(given, expected));
}

// webhook-signature of Standard Webhooks 1.0.0, over the bytes received.
export function verifyStandard(headers, rawBody, secret) {
  const prefix = "whsec_";
  const key = secret.startsWith(prefix) ? Buffer.from(secret.slice(prefix.length), "base64") : Buffer.from(secret);
  const message = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${rawBody}`;
  const expected = `v1,${createHmac("sha256", key).update(message).digest("base64")}`;
  return headers["webhook-signature"].split(" ").some((given) => equal(given, expected));
}
