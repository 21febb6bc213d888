"""A conversation with Nova Sonic by the AWS SDK for Python: a question that takes a tool, then a story that the caller
interrupts. Run by the lab's tests; alone, it needs the environment of docs/phone-lab.md, and a model that knows what
to say:

    python3 sonic.py [FILE]    FILE gets what the model said: 8 kHz, mono, 16 bit, no header
"""

import asyncio
import base64
import json
import math
import os
import struct
import sys
from collections import deque

from aws_sdk_bedrock_runtime.client import AsyncBedrockRuntimeClient
from aws_sdk_bedrock_runtime.config import AsyncBedrockRuntimeConfig
from aws_sdk_bedrock_runtime.models import (
    BidirectionalInputPayloadPart,
    InvokeModelWithBidirectionalStreamInputChunk,
    InvokeModelWithBidirectionalStreamOperationInput,
)
from awscrt.io import ClientTlsContext, TlsContextOptions
from smithy_http.aio.crt import AWSCRTHTTPClient

PROMPT = "prompt"
AUDIO = {
    "mediaType": "audio/lpcm", "sampleRateHertz": 8000, "sampleSizeBits": 16, "channelCount": 1,
    "encoding": "base64", "audioType": "SPEECH",
}
PLAIN_TEXT = {"mediaType": "text/plain"}
CANCEL = {
    "name": "cancel_reservation",
    "description": "Cancels a reservation.",
    "inputSchema": {"json": json.dumps({"type": "object", "properties": {"id": {"type": "string"}}})},
}


class Transport(AWSCRTHTTPClient):
    """HTTP/2, which this SDK's default transport does not speak, and the authority of AWS_CA_BUNDLE, which it does
    not read."""

    def __init__(self):
        super().__init__()
        if bundle := os.environ.get("AWS_CA_BUNDLE"):
            options = TlsContextOptions()
            options.override_default_trust_store_from_path(None, bundle)
            self._tls_ctx = ClientTlsContext(options)

    def __deepcopy__(self, memo):
        return self  # The SDK copies its configuration; a connection is not copied.


class Call:
    """One session: what is to be sent, the caller's words, and what the model answers."""

    def __init__(self, stream):
        self.stream = stream
        self.events = deque()
        self.speech = deque()
        self.talking = True
        self.answers = None
        self.heard = bytearray()

    def send(self, name, **fields):
        self.events.append({"event": {name: fields}})

    def open(self):
        self.send(
            "sessionStart",
            inferenceConfiguration={"maxTokens": 1024, "topP": 0.9, "temperature": 0.7},
            turnDetectionConfiguration={"endpointingSensitivity": "HIGH"},
        )
        self.send(
            "promptStart",
            promptName=PROMPT,
            textOutputConfiguration=PLAIN_TEXT,
            audioOutputConfiguration=AUDIO | {"voiceId": "matthew"},
            toolUseOutputConfiguration={"mediaType": "application/json"},
            toolConfiguration={"tools": [{"toolSpec": CANCEL}]},
        )
        start = {"type": "TEXT", "role": "SYSTEM", "interactive": False, "textInputConfiguration": PLAIN_TEXT}
        self.send_content("system", start, "textInput", "You take calls for a hotel.")
        start = {"type": "AUDIO", "role": "USER", "interactive": True, "audioInputConfiguration": AUDIO}
        self.send("contentStart", promptName=PROMPT, contentName="microphone", **start)

    def send_content(self, content_name, start, data, content):
        self.send("contentStart", promptName=PROMPT, contentName=content_name, **start)
        self.send(data, promptName=PROMPT, contentName=content_name, content=content)
        self.send("contentEnd", promptName=PROMPT, contentName=content_name)

    def send_tool_result(self, tool_use_id, result):
        configuration = {"toolUseId": tool_use_id, "type": "TEXT", "textInputConfiguration": PLAIN_TEXT}
        start = {"type": "TOOL", "role": "TOOL", "interactive": False, "toolResultInputConfiguration": configuration}
        self.send_content(tool_use_id, start, "toolResult", json.dumps(result))

    def close(self):
        self.talking = False
        self.send("contentEnd", promptName=PROMPT, contentName="microphone")
        self.send("promptEnd", promptName=PROMPT)
        self.send("sessionEnd")

    def say(self, text):
        """Says the lab's tone words: a character is 20 ms of two tones (docs/phone-lab.md, "Tone words")."""
        alphabet = "abcdefghijklmnopqrstuvwxyz0123456789 .,?!'-:;#*@%&()+/=\"$_[]{}<|"
        for character in text:
            low, high = divmod(alphabet.index(character), 8)
            tones = [math.tau * hz / 8000 for hz in (400 + 100 * low, 1500 + 200 * high)]
            samples = [int(sum(7000 * math.cos(tone * n) for tone in tones)) for n in range(160)]
            self.speech.append(struct.pack("<160h", *samples))

    async def talk(self):
        """Sends a frame of 20 ms at a time as from a telephone, sound or silence, and what else there is to send
        between them."""
        while True:
            while self.events:
                part = BidirectionalInputPayloadPart(bytes_=json.dumps(self.events.popleft()).encode())
                await self.stream.input_stream.send(InvokeModelWithBidirectionalStreamInputChunk(value=part))
            if not self.talking:
                break
            frame = self.speech.popleft() if self.speech else bytes(320)
            content = base64.b64encode(frame).decode()
            self.send("audioInput", promptName=PROMPT, contentName="microphone", content=content)
            await asyncio.sleep(0.02)
        await self.stream.input_stream.close()

    async def next(self, name=None, holds=lambda fields: True):
        """Reads on to an event of this name for which `holds`; without a name, to the end of the stream."""
        if self.answers is None:
            _, self.answers = await self.stream.await_output()
        while chunk := await self.answers.receive():
            [(found, fields)] = json.loads(chunk.value.bytes_)["event"].items()
            if found == "audioOutput":
                self.heard += base64.b64decode(fields["content"])
            if found == "textOutput":
                print(f"{fields['role']}: {fields['content']}")
            if found == name and holds(fields):
                return fields
        if name:
            raise EOFError(f"the stream ended before {name}")

    async def played(self, sentence):
        """A FINAL text of the model follows when the sentence was played."""
        for _ in ("SPECULATIVE", "FINAL"):
            await self.next("textOutput", lambda text: (text["role"], text["content"]) == ("ASSISTANT", sentence))


async def converse(call):
    call.say("please cancel it")
    tool = await call.next("toolUse")
    call.send_tool_result(tool["toolUseId"], {"cancelled": json.loads(tool["content"])["id"]})
    await call.played("R-1 is cancelled.")

    call.say("tell me a story")
    await call.next("audioOutput")
    call.say("stop that")
    await call.next("textOutput", lambda text: "interrupted" in text["content"])
    await call.played("you said stop that")

    call.close()
    await call.next()


async def main():
    # Region, keys and endpoint come from AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
    # AWS_ENDPOINT_URL_BEDROCK_RUNTIME.
    config = await AsyncBedrockRuntimeConfig.resolve(transport=Transport())
    async with AsyncBedrockRuntimeClient(config=config) as client:
        stream = await client.invoke_model_with_bidirectional_stream(
            InvokeModelWithBidirectionalStreamOperationInput(model_id="amazon.nova-2-sonic-v1:0")
        )
        call = Call(stream)
        call.open()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(call.talk())
            tasks.create_task(converse(call))
    if len(sys.argv) > 1:
        with open(sys.argv[1], "wb") as file:
            file.write(call.heard)


asyncio.run(main())
