//! `data` of the data quality events.
//!
//! The platform does not document their `data`. The fields are named by analogy with what
//! it does document, which is why each may be missing; a member that turns out to be named
//! otherwise is in `extra`.

use jiff::Timestamp;

use super::fields::data_struct;

data_struct! {
    /// `data` of `quality.rule.failed`, named by analogy.
    pub struct QualityRuleFailed {
        /// The rule that was violated.
        pub rule_id: Option<String>,
        /// The pipeline whose data violated it.
        pub pipeline_id: Option<String>,
        /// The run in which it was violated.
        pub run_id: Option<String>,
        /// How many records violated the rule.
        pub records_failed: Option<u64>,
        /// When the violation was detected.
        pub detected_at: Option<Timestamp>,
    }
}

data_struct! {
    /// `data` of `quality.threshold.exceeded`, named by analogy.
    pub struct QualityThresholdExceeded {
        /// The pipeline whose error rate it is.
        pub pipeline_id: Option<String>,
        /// The run in which the threshold was exceeded.
        pub run_id: Option<String>,
        /// The error rate that was measured.
        pub error_rate: Option<f64>,
        /// The threshold that was configured, in the unit of the rate.
        pub threshold: Option<f64>,
        /// When the excess was detected.
        pub detected_at: Option<Timestamp>,
    }
}

data_struct! {
    /// `data` of `quality.anomaly.detected`, named by analogy.
    pub struct QualityAnomalyDetected {
        /// The anomaly.
        pub anomaly_id: Option<String>,
        /// The pipeline whose data is unusual.
        pub pipeline_id: Option<String>,
        /// The run in which the anomaly was detected.
        pub run_id: Option<String>,
        /// When the anomaly was detected.
        pub detected_at: Option<Timestamp>,
    }
}
