"""Sends deliveries with http.client: one JSON request on each line of input, one
JSON answer for each, in order.

  {"url": "…", "signature": "…", "body": hex}   or, of so many blanks, "blanks": n
    -> {"status": n} | {"error": "…"}
"""

import http.client
import json
import sys
from urllib.parse import urlsplit


def send(request):
    url = urlsplit(request["url"])
    headers = {"Content-Type": "application/json"}
    if request.get("signature"):
        headers["X-DataFlow-Signature"] = request["signature"]
    if "body" in request:
        body = bytes.fromhex(request["body"])
    else:
        body = b" " * request["blanks"]
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
    try:
        connection.request("POST", url.path, body, headers)
        answer = connection.getresponse()
        answer.read()
        return {"status": answer.status}
    except OSError as error:
        return {"error": repr(error)}
    finally:
        connection.close()


for line in sys.stdin:
    print(json.dumps(send(json.loads(line))), flush=True)
