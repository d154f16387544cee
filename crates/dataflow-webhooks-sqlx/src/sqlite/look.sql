SELECT state, lease_until > ?3 AS leased, expires_at > ?3 AS live, epoch
FROM dataflow_webhooks_dedup
WHERE scope = ?1 AND event_id = ?2
