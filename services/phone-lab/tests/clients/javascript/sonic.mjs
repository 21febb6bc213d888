// A conversation with Nova Sonic by the AWS SDK for JavaScript: a question that takes a tool, then a story that the
// caller interrupts. Run by the lab's tests; alone, it needs the environment of docs/phone-lab.md, and a model that
// knows what to say:
//
//     node sonic.mjs [FILE]    FILE gets what the model said: 8 kHz, mono, 16 bit, no header

import { readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { BedrockRuntimeClient, InvokeModelWithBidirectionalStreamCommand } from "@aws-sdk/client-bedrock-runtime";
import { NodeHttp2Handler } from "@smithy/node-http-handler";

// Region, keys and endpoint come from AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
// AWS_ENDPOINT_URL_BEDROCK_RUNTIME. This SDK does not read AWS_CA_BUNDLE by itself.
const ca = process.env.AWS_CA_BUNDLE && readFileSync(process.env.AWS_CA_BUNDLE);
const client = new BedrockRuntimeClient({
  requestHandler: new NodeHttp2Handler({ nodeHttp2ConnectOptions: { ca } }),
});

const promptName = "prompt";
const audioFormat = {
  mediaType: "audio/lpcm", sampleRateHertz: 8000, sampleSizeBits: 16, channelCount: 1,
  encoding: "base64", audioType: "SPEECH",
};
const plainText = { mediaType: "text/plain" };
const cancel = {
  name: "cancel_reservation",
  description: "Cancels a reservation.",
  inputSchema: { json: JSON.stringify({ type: "object", properties: { id: { type: "string" } } }) },
};

// What is to be sent, each in its turn; and the caller's words, which wait for their time in the call.
const events = [];
const speech = [];
let talking = true;

const send = (event) => events.push(event);

function open() {
  send({ sessionStart: {
    inferenceConfiguration: { maxTokens: 1024, topP: 0.9, temperature: 0.7 },
    turnDetectionConfiguration: { endpointingSensitivity: "HIGH" },
  } });
  send({ promptStart: {
    promptName,
    textOutputConfiguration: plainText,
    audioOutputConfiguration: { ...audioFormat, voiceId: "matthew" },
    toolUseOutputConfiguration: { mediaType: "application/json" },
    toolConfiguration: { tools: [{ toolSpec: cancel }] },
  } });
  sendContent("system", { type: "TEXT", role: "SYSTEM", interactive: false, textInputConfiguration: plainText },
    { textInput: { content: "You take calls for a hotel." } });
  send({ contentStart: {
    promptName, contentName: "microphone", type: "AUDIO", role: "USER", interactive: true,
    audioInputConfiguration: audioFormat,
  } });
}

function sendContent(contentName, start, data) {
  const [[name, fields]] = Object.entries(data);
  send({ contentStart: { promptName, contentName, ...start } });
  send({ [name]: { promptName, contentName, ...fields } });
  send({ contentEnd: { promptName, contentName } });
}

function sendToolResult(toolUseId, result) {
  const toolResultInputConfiguration = { toolUseId, type: "TEXT", textInputConfiguration: plainText };
  sendContent(toolUseId, { type: "TOOL", role: "TOOL", interactive: false, toolResultInputConfiguration },
    { toolResult: { content: JSON.stringify(result) } });
}

function close() {
  talking = false;
  send({ contentEnd: { promptName, contentName: "microphone" } });
  send({ promptEnd: { promptName } });
  send({ sessionEnd: {} });
}

// The request's body: a frame of 20 ms at a time as from a telephone, sound or silence, and what else there is to send
// between them.
async function* body() {
  for (;;) {
    while (events.length > 0) {
      yield { chunk: { bytes: Buffer.from(JSON.stringify({ event: events.shift() })) } };
    }
    if (!talking) return;
    const content = (speech.shift() ?? Buffer.alloc(320)).toString("base64");
    send({ audioInput: { promptName, contentName: "microphone", content } });
    await sleep(20);
  }
}

// The lab's tone words: a character is 20 ms of two tones (docs/phone-lab.md, "Tone words").
function say(text) {
  const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789 .,?!'-:;#*@%&()+/=\"$_[]{}<|";
  for (const character of text) {
    const index = alphabet.indexOf(character);
    const tones = [400 + 100 * Math.floor(index / 8), 1500 + 200 * (index % 8)];
    const frame = Buffer.alloc(320);
    for (let n = 0; n < 160; n++) {
      const sample = tones.map((hz) => 7000 * Math.cos((2 * Math.PI * hz * n) / 8000)).reduce((a, b) => a + b);
      frame.writeInt16LE(Math.trunc(sample), 2 * n);
    }
    speech.push(frame);
  }
}

// The SDK's promise is kept when the model's first event is there, so the caller has to begin before.
open();
say("please cancel it");
const response = await client.send(new InvokeModelWithBidirectionalStreamCommand({
  modelId: "amazon.nova-2-sonic-v1:0",
  body: body(),
}));
const answers = response.body[Symbol.asyncIterator]();
const heard = [];

// Reads on to an event of this name for which `holds`; without a name, to the end of the stream.
async function next(name, holds = () => true) {
  for (;;) {
    const { value, done } = await answers.next();
    if (done && name) throw new Error(`the stream ended before ${name}`);
    if (done) return;
    const [[found, fields]] = Object.entries(JSON.parse(Buffer.from(value.chunk.bytes).toString()).event);
    if (found === "audioOutput") heard.push(Buffer.from(fields.content, "base64"));
    if (found === "textOutput") console.log(`${fields.role}: ${fields.content}`);
    if (found === name && holds(fields)) return fields;
  }
}

// A FINAL text of the model follows when the sentence was played.
async function played(sentence) {
  for (const _ of ["SPECULATIVE", "FINAL"]) {
    await next("textOutput", ({ role, content }) => role === "ASSISTANT" && content === sentence);
  }
}

const { toolUseId, content } = await next("toolUse");
sendToolResult(toolUseId, { cancelled: JSON.parse(content).id });
await played("R-1 is cancelled.");

say("tell me a story");
await next("audioOutput");
say("stop that");
await next("textOutput", ({ content }) => JSON.parse(content).interrupted);
await played("you said stop that");

close();
await next();
if (process.argv[2]) writeFileSync(process.argv[2], Buffer.concat(heard));
client.destroy();
