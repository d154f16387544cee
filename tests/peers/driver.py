"""Runs the Python sample of the platform's documentation, spec_sample.py,
unchanged: one JSON request on each line of input, one JSON answer for each.

  {"op": "verify", "payload": hex, "signature": "t=…,v1=…", "secret": "…"}
    -> {"accepted": bool, "produced": hex}   what the sample says, and the MAC it made
  {"op": "mac", "payload": hex, "t": "…", "secret": "…"}
    -> {"produced": hex}                     the same MAC, over bytes
"""

import hashlib
import hmac
import json
import sys
import types

import spec_sample

# The sample keeps the MAC it makes to itself: it is seen where it is compared.
produced = None


def compare_digest(received, expected):
    global produced
    produced = expected
    return hmac.compare_digest(received, expected)


spec_sample.hmac = types.SimpleNamespace(new=hmac.new, compare_digest=compare_digest)


def verify(request):
    global produced
    produced = None
    try:
        payload = bytes.fromhex(request["payload"]).decode()
    except UnicodeDecodeError:
        return {"accepted": False, "produced": None}
    accepted = spec_sample.verify_webhook_signature(
        payload, request["signature"], request["secret"]
    )
    return {"accepted": accepted, "produced": produced}


def mac(request):
    made = hmac.new(request["secret"].encode(), digestmod=hashlib.sha256)
    made.update(request["t"].encode() + b".")
    made.update(bytes.fromhex(request["payload"]))
    return {"produced": made.hexdigest()}


OPERATIONS = {"verify": verify, "mac": mac}
for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps(OPERATIONS[request["op"]](request)), flush=True)
