"""Builds a document for each verb by Twilio's helper library, and prints them by name."""

import json

from twilio.twiml.voice_response import VoiceResponse


def say(response):
    response.say("Déjà vu & <more>", voice="Polly.Amy", language="en-GB").break_(strength="weak", time="1s")


def pause(response):
    response.pause(length=3)


def play(response):
    response.play("/hello.wav?a=1&b=2", loop=2)


def play_digits(response):
    response.play(digits="ww12#")


def dial(response):
    dialled = response.dial(
        action="/dialled",
        method="GET",
        timeout=20,
        time_limit=60,
        answer_on_bridge=True,
        hangup_on_star=True,
        sequential=True,
        caller_id="+15550100100",
    )
    dialled.sip("sip:agent@pbx.example.test?X-A=b&X-C=d")
    dialled.number(
        "+15550100001",
        url="/screen",
        send_digits="w7",
        status_callback="/leg",
        status_callback_event="ringing answered",
        machine_detection="DetectMessageEnd",
        amd_status_callback="/detected",
    )


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
    gathered.play("/beep.wav")
    gathered.pause(length=1)


def enqueue(response):
    response.enqueue("support", action="/left", wait_url="/wait", wait_url_method="GET", max_queue_size=5)


def leave(response):
    response.leave()


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
    "play": play,
    "playDigits": play_digits,
    "dial": dial,
    "dialNumber": dial_number,
    "redirect": redirect,
    "hangup": hangup,
    "reject": reject,
    "gather": gather,
    "enqueue": enqueue,
    "leave": leave,
    "connect": connect,
}


def built(build):
    response = VoiceResponse()
    build(response)
    return str(response)


print(json.dumps({name: built(build) for name, build in documents.items()}))
