// Reads the records of the command in generate and checks each of them in the
// JavaScript engine that runs this file. Prints the failures, at most ten of a
// kind, then the counts; exits with 1 if anything failed or was missing.

import { createInterface } from "node:readline";
import { decimal, difference, parse } from "./exact.mjs";
import { verifyOfficially } from "./official.mjs";
import { verify, verifyStandard } from "./receiver.mjs";

const shown = 10;
const start = `{"event":`;

// Each check returns what is wrong, or null.
const checks = {
  // The payload is a fixed point, and holds what was published.
  document({ raw, body }) {
    const again = JSON.stringify(JSON.parse(body));
    if (again !== body) return `not a fixed point: ${around(body, again)}`;
    if (Buffer.from(body, "utf8").toString("utf8") !== body) return "not to be written as UTF-8";
    const payload = parse(body);
    const names = payload.value.map(([name]) => name).join();
    if (names !== "event,timestamp,data" || !body.startsWith(start)) return `members ${names}`;
    return difference(parse(raw), payload.value[2][1]);
  },

  // A number that was refused is indeed changed by JavaScript.
  changed({ raw, reason }) {
    const number = JSON.parse(raw);
    if (reason === "NegativeZero") return Object.is(number, -0) && decimal(raw) === "-0" ? null : "is not -0";
    const printed = JSON.stringify(number);
    if (printed !== "null" && decimal(printed) === decimal(raw)) return `refused, but arrives as ${printed}`;
    return null;
  },

  // A receiver that knows one of the secrets accepts the delivery, over the
  // body parsed and written again; it accepts nothing else.
  signed({ body, headers, secrets }) {
    for (const secret of secrets) {
      if (!verify(headers, JSON.parse(body), secret)) return "X-BBMCP-Signature does not verify";
      if (!verifyStandard(headers, body, secret)) return "webhook-signature does not verify";
      if (!verifyOfficially(headers, body, secret)) return "the package standardwebhooks refuses it";
    }
    const other = body.replace("10:30:00Z", "10:30:01Z");
    if (verify(headers, JSON.parse(other), secrets[0]) || verifyStandard(headers, other, secrets[0])) return "another body verifies";
    if (verifyOfficially(headers, other, secrets[0])) return "the package standardwebhooks accepts another body";
    const stranger = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    if (verify(headers, JSON.parse(body), stranger) || verifyStandard(headers, body, stranger)) return "another secret verifies";
    return null;
  },
};

function around(expected, got) {
  let i = 0;
  while (i < expected.length && expected[i] === got[i]) i++;
  return `at ${i} ${JSON.stringify(expected.slice(i, i + 40))}, JavaScript writes ${JSON.stringify(got.slice(i, i + 40))}`;
}

const counts = Object.fromEntries(Object.keys(checks).map((kind) => [kind, { passed: 0, failed: 0 }]));
let records = 0;
let announced = null;

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const record = JSON.parse(line);
  if (record.kind === "end") {
    announced = record.records;
    continue;
  }
  records++;
  let problem;
  try {
    problem = checks[record.kind](record);
  } catch (error) {
    problem = String(error);
  }
  const count = counts[record.kind];
  if (problem === null) {
    count.passed++;
    continue;
  }
  count.failed++;
  if (count.failed <= shown) console.log(`FAIL ${record.kind} ${(record.raw ?? record.body).slice(0, 100)}: ${problem}`);
}

let passed = 0;
let failed = 0;
for (const [kind, count] of Object.entries(counts)) {
  console.log(`${kind}: ${count.passed} passed, ${count.failed} failed`);
  passed += count.passed;
  failed += count.failed;
  if (count.passed + count.failed === 0) {
    console.log(`FAIL no record of the kind ${kind}`);
    failed++;
  }
}
if (announced !== records) {
  console.log(`FAIL ${records} records read, ${announced ?? "an unknown number"} written`);
  failed++;
}
console.log(`node ${process.version} payloads, V8 ${process.versions.v8}: ${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
