// A voice server: offers to connect the caller to somebody, by Twilio's helper library. It prints its port, and serves
// until it is killed. TWILIO_AUTH_TOKEN is the account's token, PUBLIC_URL where Twilio finds the server.

import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { parse } from "node:querystring";
import twilio from "twilio";

const { TWILIO_AUTH_TOKEN, PUBLIC_URL } = process.env;

const pages = {
  "/incoming-call"(response) {
    response.gather({ input: "dtmf", action: "/menu", numDigits: 1 }).say("press one for a human");
    response.say("goodbye");
  },
  "/menu"(response, { Digits }) {
    if (Digits !== "1") return response.redirect("/incoming-call");
    response.dial({ action: "/dialled" }).sip("sip:desk@pbx.example.test");
  },
  "/dialled"(response, { DialCallStatus }) {
    response.say(`the call is ${DialCallStatus}`);
    response.hangup();
  },
};

const server = createServer(async (request, answer) => {
  const params = parse(await text(request));
  const signature = request.headers["x-twilio-signature"];
  if (!twilio.validateRequest(TWILIO_AUTH_TOKEN, signature, PUBLIC_URL + request.url, params)) {
    return answer.writeHead(403).end();
  }
  const response = new twilio.twiml.VoiceResponse();
  pages[request.url](response, params);
  answer.writeHead(200, { "Content-Type": "text/xml" }).end(response.toString());
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
