SELECT event_id, letter
FROM dataflow_webhooks_dead_letters
WHERE scope = $1 AND event_id = $2
