"""A voice server: offers to connect the caller to somebody, by Twilio's helper library. It prints its port, and serves
until it is killed. TWILIO_AUTH_TOKEN is the account's token, PUBLIC_URL where Twilio finds the server."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

from twilio.request_validator import RequestValidator
from twilio.twiml.voice_response import VoiceResponse

VALIDATOR = RequestValidator(os.environ["TWILIO_AUTH_TOKEN"])
PUBLIC_URL = os.environ["PUBLIC_URL"]


def incoming_call(response, params):
    response.gather(input="dtmf", action="/menu", num_digits=1).say("press one for a human")
    response.say("goodbye")


def menu(response, params):
    if params["Digits"] != "1":
        response.redirect("/incoming-call")
    else:
        response.dial(action="/dialled").sip("sip:desk@pbx.example.test")


def dialled(response, params):
    response.say(f"the call is {params['DialCallStatus']}")
    response.hangup()


PAGES = {"/incoming-call": incoming_call, "/menu": menu, "/dialled": dialled}


class Webhooks(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        params = dict(parse_qsl(body, keep_blank_values=True))
        if not VALIDATOR.validate(PUBLIC_URL + self.path, params, self.headers.get("X-Twilio-Signature", "")):
            self.send_error(403)
            return
        response = VoiceResponse()
        PAGES[self.path](response, params)
        self.send_response(200)
        self.send_header("Content-Type", "text/xml")
        self.end_headers()
        self.wfile.write(str(response).encode())

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Webhooks)
print(server.server_port, flush=True)
server.serve_forever()
