DELETE FROM dataflow_webhooks_dedup
WHERE scope = ?1 AND event_id > ?2 AND event_id <= ?4 AND expires_at <= ?3
