DELETE FROM dataflow_webhooks_dead_letters
WHERE scope = $1 AND event_id = $2 AND failed_at = $3
RETURNING event_id, '' AS letter
