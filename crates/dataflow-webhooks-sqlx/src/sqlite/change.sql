UPDATE dataflow_webhooks_dedup
SET state = ?5, lease_until = ?3 + ?6, expires_at = ?3 + ?7
WHERE scope = ?1 AND event_id = ?2 AND epoch = ?4 AND state = 1 AND expires_at > ?3
RETURNING epoch
