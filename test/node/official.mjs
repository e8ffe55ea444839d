// SPDX-License-Identifier: Apache-2.0

// What the official package of Standard Webhooks says of a delivery, at the time
// of its attempt.

import { Webhook, WebhookVerificationError } from "standardwebhooks";

export function verifyOfficially(headers, rawBody, secret) {
  const webhook = secret.startsWith("whsec_") ? new Webhook(secret) : new Webhook(Buffer.from(secret), { format: "raw" });
  const clock = Date.now;
  Date.now = () => Number(headers["webhook-timestamp"]) * 1000;
  try {
    webhook.verify(rawBody, headers);
    return true;
  } catch (error) {
    if (error instanceof WebhookVerificationError) return false;
    throw error;
  } finally {
    Date.now = clock;
  }
}
