//! The documented event types, written down once.

/// Hands the table of documented types to the macro `$then`.
///
/// [`EventType`](super::EventType), its names, [`EventPayload`](super::EventPayload) and
/// the choice of the payload's struct are all stamped from these lines, so they cannot
/// drift apart. Names and descriptions are those of the platform's documentation, "Event
/// Types".
macro_rules! documented_events {
    ($then:ident) => {
        $then! {
            "Pipeline execution begins: a scheduled or manual run starts."
            PipelineRunStarted = "pipeline.run.started",
            "Pipeline execution succeeds: all data was processed."
            PipelineRunCompleted = "pipeline.run.completed",
            "Pipeline execution fails: an error prevented completion."
            PipelineRunFailed = "pipeline.run.failed",
            "A new pipeline was created, via UI or API."
            PipelineCreated = "pipeline.created",
            "A pipeline's configuration changed."
            PipelineUpdated = "pipeline.updated",
            "A pipeline was deleted by a user."
            PipelineDeleted = "pipeline.deleted",
            "A new connection was added."
            ConnectionCreated = "connection.created",
            "A connection's settings were modified."
            ConnectionUpdated = "connection.updated",
            "A connection was removed."
            ConnectionDeleted = "connection.deleted",
            "A connection's health status changed."
            ConnectionStatusChanged = "connection.status.changed",
            "A connection test finished."
            ConnectionTestCompleted = "connection.test.completed",
            "A data quality rule was violated."
            QualityRuleFailed = "quality.rule.failed",
            "The error rate exceeds the configured threshold."
            QualityThresholdExceeded = "quality.threshold.exceeded",
            "An unusual pattern was detected in data."
            QualityAnomalyDetected = "quality.anomaly.detected",
        }
    };
}

pub(crate) use documented_events;
