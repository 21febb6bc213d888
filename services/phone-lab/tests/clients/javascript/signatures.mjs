// Validates and computes X-Twilio-Signature by Twilio's helper library: reads a request a line, answers each by a line.

import { createInterface } from "node:readline";
import { parse } from "node:querystring";
import twilio from "twilio";

for await (const line of createInterface({ input: process.stdin })) {
  const { token, signature, url, signed, form, json } = JSON.parse(line);
  const params = parse(form ?? "");
  const accepted = json === null
    ? twilio.validateRequest(token, signature, url, params)
    : twilio.validateRequestWithBody(token, signature, url, json);
  console.log(JSON.stringify({ accepted, computed: twilio.getExpectedTwilioSignature(token, signed, params) }));
}
