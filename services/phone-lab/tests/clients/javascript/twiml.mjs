// Builds a document for each verb by Twilio's helper library, and prints them by name.

import twilio from "twilio";

const documents = {
  say(response) {
    const say = response.say({ voice: "Polly.Amy", language: "en-GB" }, "Déjà vu & <more>");
    say.break({ strength: "weak", time: "1s" });
  },
  pause: (response) => response.pause({ length: 3 }),
  dial(response) {
    const dial = response.dial({ action: "/dialled", method: "GET", timeout: 20, answerOnBridge: true });
    dial.sip("sip:agent@pbx.example.test?X-A=b&X-C=d");
    dial.number({ statusCallback: "/leg", statusCallbackEvent: ["ringing", "answered"] }, "+15550100001");
  },
  dialNumber: (response) => response.dial({}, "+15550100001"),
  redirect: (response) => response.redirect({ method: "GET" }, "/next?a=1&b=2"),
  hangup: (response) => response.hangup(),
  reject: (response) => response.reject({ reason: "busy" }),
  gather(response) {
    const gather = response.gather({ input: "dtmf", action: "/keys", timeout: 3, numDigits: 4, finishOnKey: "*" });
    gather.say("Your number, please.");
    gather.pause({ length: 1 });
  },
  connect(response) {
    const stream = response.connect({ action: "/stream-ended" }).stream({
      url: "wss://voice.example.test/media/1",
      name: "main",
      track: "inbound_track",
      statusCallback: "/stream-status",
      statusCallbackMethod: "POST",
    });
    stream.parameter({ name: "ticket", value: "a \"b\" & 'c' <é>" });
  },
};

const built = Object.entries(documents).map(([name, build]) => {
  const response = new twilio.twiml.VoiceResponse();
  build(response);
  return [name, response.toString()];
});
console.log(JSON.stringify(Object.fromEntries(built)));
