"""Validates and computes X-Twilio-Signature by Twilio's helper library: reads one request a line, answers each by a
line."""

import json
import sys
from urllib.parse import parse_qsl, urlparse

from multidict import MultiDict
from twilio.request_validator import RequestValidator

for line in sys.stdin:
    request = json.loads(line)
    validator = RequestValidator(request["token"])
    params = MultiDict(parse_qsl(request["form"] or "", keep_blank_values=True))
    body = params if request["json"] is None else request["json"]
    try:
        accepted = validator.validate(request["url"], body, request["signature"])
    except TypeError:  # what it does with a body that is no form, where no hash covers it
        accepted = False
    computed = validator.compute_signature(request["signed"], params)
    rewritten = urlparse(request["url"]).geturl() != request["url"]
    print(json.dumps({"accepted": accepted, "computed": computed, "rewritten": rewritten}))
