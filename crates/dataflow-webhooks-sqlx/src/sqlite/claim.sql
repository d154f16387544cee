INSERT INTO dataflow_webhooks_dedup AS d (scope, event_id, epoch, state, lease_until, expires_at)
VALUES (?1, ?2, 1, 1, ?3 + ?4, ?3 + ?5)
ON CONFLICT (scope, event_id) DO UPDATE
SET epoch = d.epoch + 1, state = 1,
    lease_until = excluded.lease_until, expires_at = excluded.expires_at
WHERE d.state = 0 OR (d.state = 1 AND d.lease_until <= ?3) OR d.expires_at <= ?3
RETURNING epoch
