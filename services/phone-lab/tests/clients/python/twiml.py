"""Builds a document for each verb by Twilio's helper library, and prints them by name."""

import json

from twilio.twiml.voice_response import VoiceResponse


def say(response):
    response.say("Déjà vu & <more>", voice="Polly.Amy", language="en-GB").break_(strength="weak", time="1s")


def pause(response):
    response.pause(length=3)


def dial(response):
    dialled = response.dial(action="/dialled", method="GET", timeout=20, answer_on_bridge=True)
    dialled.sip("sip:agent@pbx.example.test?X-A=b&X-C=d")
    dialled.number("+15550100001", status_callback="/leg", status_callback_event="ringing answered")


def dial_number(response):
    response.dial("+15550100001")


def redirect(response):
    response.redirect("/next?a=1&b=2", method="GET")


def hangup(response):
    response.hangup()


def reject(response):
    response.reject(reason="busy")


def gather(response):
    gathered = response.gather(input="dtmf", action="/keys", timeout=3, num_digits=4, finish_on_key="*")
    gathered.say("Your number, please.")
    gathered.pause(length=1)


def connect(response):
    stream = response.connect(action="/stream-ended").stream(
        url="wss://voice.example.test/media/1",
        name="main",
        track="inbound_track",
        status_callback="/stream-status",
        status_callback_method="POST",
    )
    stream.parameter(name="ticket", value="a \"b\" & 'c' <é>")


documents = {
    "say": say,
    "pause": pause,
    "dial": dial,
    "dialNumber": dial_number,
    "redirect": redirect,
    "hangup": hangup,
    "reject": reject,
    "gather": gather,
    "connect": connect,
}


def built(build):
    response = VoiceResponse()
    build(response)
    return str(response)


print(json.dumps({name: built(build) for name, build in documents.items()}))
