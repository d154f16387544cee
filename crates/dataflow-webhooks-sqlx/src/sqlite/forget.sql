UPDATE dataflow_webhooks_dedup
SET state = 0
WHERE scope = ?1 AND event_id = ?2 AND expires_at > ?3
