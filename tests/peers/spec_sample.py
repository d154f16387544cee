import hmac
import hashlib

def verify_webhook_signature(payload, signature, secret):
    parts = signature.split(',')
    timestamp = parts[0].split('=')[1]
    received_hash = parts[1].split('=')[1]

    # Create expected signature
    signed_payload = f"{timestamp}.{payload}"
    expected_hash = hmac.new(
        secret.encode(),
        signed_payload.encode(),
        hashlib.sha256
    ).hexdigest()

    return hmac.compare_digest(received_hash, expected_hash)
