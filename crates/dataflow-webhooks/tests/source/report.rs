//! `report_only`: what it counts and logs.

use dataflow_webhooks::adapter::Head;
use dataflow_webhooks::{Endpoint, RejectionKind, SourceAllowList};

use crate::common::{BODY, NOW, OTHER, SECRET, header};
use crate::{LISTED, begin, endpoint, ip, list};

fn deliver(endpoint: &Endpoint, secret: &str, peer: Option<&str>) -> Result<(), RejectionKind> {
    let line = header(secret, NOW, BODY);
    let head = Head::new("POST", [line]).with_peer(peer.map(ip), |_| [[]; 0]);
    let mut body = endpoint.begin_from(head).map_err(|rejection| rejection.kind())?;
    body.update(BODY).map_err(|rejection| rejection.kind())?;
    body.finish().map(drop).map_err(|rejection| rejection.kind())
}

#[test]
fn report_only_lets_everything_through_and_counts_what_is_authentic_and_unlisted() {
    let endpoint = endpoint(list(LISTED).report_only());
    let unlisted = || endpoint.counts().authentic_from_unlisted;
    assert_eq!(deliver(&endpoint, SECRET, Some(LISTED)), Ok(()));
    assert_eq!(unlisted(), 0);
    assert_eq!(deliver(&endpoint, SECRET, Some("198.51.100.1")), Ok(()));
    assert_eq!(unlisted(), 1);
    assert_eq!(deliver(&endpoint, SECRET, None), Ok(()));
    assert_eq!(unlisted(), 2);
    // Anybody can send what is not authentic: it says nothing of the platform.
    let forged = deliver(&endpoint, OTHER, Some("198.51.100.2"));
    assert_eq!((forged, unlisted()), (Err(RejectionKind::NoMatch), 2));
    assert_eq!(endpoint.counts().authentic, 3);
}

#[test]
fn a_list_that_is_enforced_counts_no_unlisted_delivery() {
    let endpoint = endpoint(list(LISTED));
    let refused = deliver(&endpoint, SECRET, Some("198.51.100.1"));
    assert_eq!(refused, Err(RejectionKind::SourceNotAllowed));
    assert_eq!(deliver(&endpoint, SECRET, Some(LISTED)), Ok(()));
    let counts = endpoint.counts();
    assert_eq!((counts.authentic, counts.authentic_from_unlisted), (1, 0));
}

#[cfg(feature = "tracing")]
mod logs {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// The lines logged meanwhile.
    fn logged(work: impl FnOnce()) -> String {
        #[derive(Clone, Default)]
        struct Capture(Arc<Mutex<Vec<u8>>>);
        impl Write for Capture {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let capture = Capture::default();
        let writer = capture.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .with_max_level(tracing::Level::INFO)
            .finish();
        tracing::subscriber::with_default(subscriber, work);
        let bytes = capture.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn report_only_logs_each_unlisted_address_of_an_authentic_delivery() {
        let endpoint = endpoint(SourceAllowList::empty().report_only());
        let lines = logged(|| {
            for source in ["198.51.100.1", "198.51.100.2"] {
                deliver(&endpoint, SECRET, Some(source)).unwrap();
            }
            deliver(&endpoint, OTHER, Some("198.51.100.3")).unwrap_err();
        });
        assert!(lines.contains("198.51.100.1") && lines.contains("198.51.100.2"), "{lines}");
        assert!(!lines.contains("198.51.100.3"), "{lines}");
    }

    #[test]
    fn a_peer_that_is_not_known_is_logged_with_the_fix() {
        let enforced = endpoint(list(LISTED));
        let report_only = endpoint(list(LISTED).report_only());
        let lines = logged(|| {
            let rejection = begin(&enforced, None, &[]).unwrap_err();
            enforced.telemetry().rejected(&rejection);
        });
        assert!(lines.contains("answered 403") && lines.contains("WebhookLayer::peer"), "{lines}");
        let lines = logged(|| {
            for _ in 0..100 {
                deliver(&report_only, SECRET, None).unwrap();
            }
        });
        assert!(lines.contains("WebhookLayer::peer"), "{lines}");
        assert_eq!(lines.lines().count(), 1, "{lines}");
    }
}
