// Builds a document for each verb by Twilio's helper library, and prints them by name.

import twilio from "twilio";

const documents = {
  say(response) {
    const say = response.say({ voice: "Polly.Amy", language: "en-GB" }, "Déjà vu & <more>");
    say.break({ strength: "weak", time: "1s" });
  },
  pause: (response) => response.pause({ length: 3 }),
  play: (response) => response.play({ loop: 2 }, "/hello.wav?a=1&b=2"),
  playDigits: (response) => response.play({ digits: "ww12#" }),
  dial(response) {
    const dial = response.dial({
      action: "/dialled",
      method: "GET",
      timeout: 20,
      timeLimit: 60,
      answerOnBridge: true,
      hangupOnStar: true,
      sequential: true,
      callerId: "+15550100100",
    });
    dial.sip("sip:agent@pbx.example.test?X-A=b&X-C=d");
    const watched = {
      url: "/screen",
      sendDigits: "w7",
      statusCallback: "/leg",
      statusCallbackEvent: ["ringing", "answered"],
      machineDetection: "DetectMessageEnd",
      amdStatusCallback: "/detected",
    };
    dial.number(watched, "+15550100001");
  },
  dialNumber: (response) => response.dial({}, "+15550100001"),
  redirect: (response) => response.redirect({ method: "GET" }, "/next?a=1&b=2"),
  hangup: (response) => response.hangup(),
  reject: (response) => response.reject({ reason: "busy" }),
  gather(response) {
    const gather = response.gather({ input: "dtmf", action: "/keys", timeout: 3, numDigits: 4, finishOnKey: "*" });
    gather.say("Your number, please.");
    gather.play("/beep.wav");
    gather.pause({ length: 1 });
  },
  enqueue(response) {
    const queue = { action: "/left", waitUrl: "/wait", waitUrlMethod: "GET", maxQueueSize: 5 };
    response.enqueue(queue, "support");
  },
  leave: (response) => response.leave(),
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
