//! `data` of the connection events.
//!
//! The platform does not document their `data`. The fields are named by analogy with what
//! it does document, which is why each may be missing; a member that turns out to be named
//! otherwise is in `extra`.

use jiff::Timestamp;

use super::fields::data_struct;

data_struct! {
    /// `data` of `connection.created`, named by analogy.
    pub struct ConnectionCreated {
        /// The connection.
        pub connection_id: Option<String>,
        /// The connection's name.
        pub name: Option<String>,
        /// When the connection was added.
        pub created_at: Option<Timestamp>,
    }
}

data_struct! {
    /// `data` of `connection.updated`, named by analogy.
    pub struct ConnectionUpdated {
        /// The connection.
        pub connection_id: Option<String>,
        /// The connection's name.
        pub name: Option<String>,
        /// When the settings were modified.
        pub updated_at: Option<Timestamp>,
    }
}

data_struct! {
    /// `data` of `connection.deleted`, named by analogy.
    pub struct ConnectionDeleted {
        /// The connection.
        pub connection_id: Option<String>,
        /// The connection's name.
        pub name: Option<String>,
        /// When the connection was removed.
        pub deleted_at: Option<Timestamp>,
    }
}

data_struct! {
    /// `data` of `connection.status.changed`, named by analogy.
    pub struct ConnectionStatusChanged {
        /// The connection.
        pub connection_id: Option<String>,
        /// The health status from now on.
        pub status: Option<String>,
        /// The health status until now.
        pub previous_status: Option<String>,
        /// When the status changed.
        pub changed_at: Option<Timestamp>,
    }
}

data_struct! {
    /// `data` of `connection.test.completed`, named by analogy.
    pub struct ConnectionTestCompleted {
        /// The connection.
        pub connection_id: Option<String>,
        /// How the test ended.
        pub status: Option<String>,
        /// How long the test took, in seconds.
        pub duration_seconds: Option<f64>,
        /// When the test started.
        pub started_at: Option<Timestamp>,
        /// When the test finished.
        pub completed_at: Option<Timestamp>,
    }
}
