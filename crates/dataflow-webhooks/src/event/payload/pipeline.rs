//! `data` of the pipeline events.
//!
//! The platform documents the `data` of `pipeline.run.completed` only ("Event Payload
//! Structure"). The fields of the other structs are named by analogy, which is why each may
//! be missing; a member that turns out to be named otherwise is in `extra`.

use jiff::Timestamp;

use super::fields::data_struct;

data_struct! {
    /// `data` of `pipeline.run.started`, named by analogy with [`PipelineRunCompleted`].
    pub struct PipelineRunStarted {
        /// The pipeline, such as `pipe_abc123`.
        pub pipeline_id: Option<String>,
        /// The run, such as `run_xyz789`.
        pub run_id: Option<String>,
        /// The run's status.
        pub status: Option<String>,
        /// When the run started.
        pub started_at: Option<Timestamp>,
    }
}

data_struct! {
    /// `data` of `pipeline.run.completed`, as documented under "Event Payload Structure".
    ///
    /// All seven fields are required: `data` that lacks one of them, or has another kind of
    /// value for it, becomes [`EventPayload::Mismatched`](super::EventPayload::Mismatched).
    pub struct PipelineRunCompleted {
        /// The pipeline, such as `pipe_abc123`.
        pub pipeline_id: String,
        /// The run, such as `run_xyz789`.
        pub run_id: String,
        /// The run's status; `completed` in the documentation's example.
        pub status: String,
        /// How many records the run processed.
        pub records_processed: u64,
        /// How long the run took, in seconds. The documentation's example is a whole
        /// number; fractions pass too.
        pub duration_seconds: f64,
        /// When the run started.
        pub started_at: Timestamp,
        /// When the run completed.
        pub completed_at: Timestamp,
    }
}

data_struct! {
    /// `data` of `pipeline.run.failed`, named by analogy with [`PipelineRunCompleted`].
    pub struct PipelineRunFailed {
        /// The pipeline, such as `pipe_abc123`.
        pub pipeline_id: Option<String>,
        /// The run, such as `run_xyz789`.
        pub run_id: Option<String>,
        /// The run's status.
        pub status: Option<String>,
        /// How many records the run processed before it failed.
        pub records_processed: Option<u64>,
        /// How long the run took, in seconds.
        pub duration_seconds: Option<f64>,
        /// When the run started.
        pub started_at: Option<Timestamp>,
        /// When the run failed.
        pub failed_at: Option<Timestamp>,
        /// What prevented completion, where the platform says it in plain text.
        pub error: Option<String>,
    }
}

data_struct! {
    /// `data` of `pipeline.created`, named by analogy.
    pub struct PipelineCreated {
        /// The pipeline, such as `pipe_abc123`.
        pub pipeline_id: Option<String>,
        /// The pipeline's name.
        pub name: Option<String>,
        /// When the pipeline was created.
        pub created_at: Option<Timestamp>,
    }
}

data_struct! {
    /// `data` of `pipeline.updated`, named by analogy.
    pub struct PipelineUpdated {
        /// The pipeline, such as `pipe_abc123`.
        pub pipeline_id: Option<String>,
        /// The pipeline's name.
        pub name: Option<String>,
        /// When the configuration changed.
        pub updated_at: Option<Timestamp>,
    }
}

data_struct! {
    /// `data` of `pipeline.deleted`, named by analogy.
    pub struct PipelineDeleted {
        /// The pipeline, such as `pipe_abc123`.
        pub pipeline_id: Option<String>,
        /// The pipeline's name.
        pub name: Option<String>,
        /// When the pipeline was deleted.
        pub deleted_at: Option<Timestamp>,
    }
}
