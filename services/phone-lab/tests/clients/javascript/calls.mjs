// Places, watches, redirects and ends calls by Twilio's helper library, and prints what it was answered.
// TWILIO_API_BASE_URL is where Twilio's REST interface is played, TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN open it.

import { setTimeout as sleep } from "node:timers/promises";
import twilio from "twilio";

// The library knows no other host than Twilio's: whoever sends its requests has to send them elsewhere.
class Elsewhere extends twilio.RequestClient {
  request(options) {
    const uri = options.uri.replace("https://api.twilio.com", process.env.TWILIO_API_BASE_URL);
    return super.request({ ...options, uri });
  }
}

const { TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN } = process.env;
const openedBy = (token) => twilio(TWILIO_ACCOUNT_SID, token, { httpClient: new Elsewhere() });
const client = openedBy(TWILIO_AUTH_TOKEN);
const order = { to: "+15550100001", from: "+15550100100", url: "https://voice.example.test/outbound" };

const shown = (call) => ({
  sid: call.sid,
  account: call.accountSid,
  status: call.status,
  direction: call.direction,
  to: call.to,
  from: call.from,
  answeredBy: call.answeredBy,
  duration: call.duration,
  queueTime: call.queueTime,
  created: call.dateCreated?.toISOString(),
  started: call.startTime?.toISOString(),
  ended: call.endTime?.toISOString(),
});

async function until(sid, status) {
  for (;;) {
    const call = await client.calls(sid).fetch();
    if (call.status === status) return call;
    await sleep(50);
  }
}

async function error(request) {
  try {
    return { answered: await request };
  } catch (exception) {
    if (!(exception instanceof twilio.RestException)) throw exception;
    const { status, code, message } = exception;
    return { status, code, message };
  }
}

const throttled = await error(client.calls.create(order));
const created = await client.calls.create({
  ...order,
  timeout: 20,
  machineDetection: "Enable",
  statusCallback: "https://voice.example.test/call-status",
  statusCallbackEvent: ["ringing", "completed"],
});
const answered = await until(created.sid, "in-progress");
const twiml = new twilio.twiml.VoiceResponse();
twiml.say("moved elsewhere");
const redirected = await client.calls(created.sid).update({ twiml });
const over = await until(created.sid, "completed");
const second = await until((await client.calls.create(order)).sid, "in-progress");
const ended = await second.update({ status: "completed" });
const calls = { created, answered, redirected, over, second, ended };
const errors = {
  throttled,
  badNumber: await error(client.calls.create({ ...order, to: "nobody" })),
  noUrl: await error(client.calls.create({ ...order, url: undefined })),
  unknown: await error(client.calls(`CA${"0".repeat(32)}`).fetch()),
  over: await error(client.calls(created.sid).update({ status: "completed" })),
  stranger: await error(openedBy("wrong").calls(created.sid).fetch()),
};
const show = ([name, call]) => [name, shown(call)];
console.log(JSON.stringify({ calls: Object.fromEntries(Object.entries(calls).map(show)), errors }));
