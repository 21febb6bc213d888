"""Places, watches, redirects and ends calls by Twilio's helper library, and prints what it was answered.
TWILIO_API_BASE_URL is where Twilio's REST interface is played, TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN open it."""

import json
import os
import time

from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client
from twilio.twiml.voice_response import VoiceResponse


class Elsewhere(TwilioHttpClient):
    """The library knows no other host than Twilio's: whoever sends its requests has to send them elsewhere."""

    def request(self, method, url, *args, **kwargs):
        url = url.replace("https://api.twilio.com", os.environ["TWILIO_API_BASE_URL"])
        return super().request(method, url, *args, **kwargs)


def opened_by(token):
    return Client(os.environ["TWILIO_ACCOUNT_SID"], token, http_client=Elsewhere())


client = opened_by(os.environ["TWILIO_AUTH_TOKEN"])
order = {"to": "+15550100001", "from_": "+15550100100", "url": "https://voice.example.test/outbound"}


def date(value):
    return value and value.isoformat()


def shown(call):
    return {
        "sid": call.sid,
        "account": call.account_sid,
        "status": call.status,
        "direction": call.direction,
        "to": call.to,
        "from": call._from,
        "answeredBy": call.answered_by,
        "duration": call.duration,
        "queueTime": call.queue_time,
        "created": date(call.date_created),
        "started": date(call.start_time),
        "ended": date(call.end_time),
    }


def until(sid, status):
    while (call := client.calls(sid).fetch()).status != status:
        time.sleep(0.05)
    return call


def error(request):
    try:
        return {"answered": str(request())}
    except TwilioRestException as exception:
        return {"status": exception.status, "code": exception.code, "message": exception.msg}


throttled = error(lambda: client.calls.create(**order))
created = client.calls.create(
    **order,
    timeout=20,
    machine_detection="Enable",
    status_callback="https://voice.example.test/call-status",
    status_callback_event=["ringing", "completed"],
)
answered = until(created.sid, "in-progress")
twiml = VoiceResponse()
twiml.say("moved elsewhere")
redirected = client.calls(created.sid).update(twiml=twiml)
over = until(created.sid, "completed")
second = until(client.calls.create(**order).sid, "in-progress")
ended = second.update(status="completed")
calls = {
    "created": created,
    "answered": answered,
    "redirected": redirected,
    "over": over,
    "second": second,
    "ended": ended,
}
errors = {
    "throttled": throttled,
    "badNumber": error(lambda: client.calls.create(**order | {"to": "nobody"})),
    "noUrl": error(lambda: client.calls.create(to=order["to"], from_=order["from_"])),
    "unknown": error(lambda: client.calls(f"CA{0:032}").fetch()),
    "over": error(lambda: client.calls(created.sid).update(status="completed")),
    "stranger": error(lambda: opened_by("wrong").calls(created.sid).fetch()),
}
print(json.dumps({"calls": {name: shown(call) for name, call in calls.items()}, "errors": errors}))
