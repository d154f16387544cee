//! lambda-receiver: its service, invoked with recorded events.

use dataflow_webhooks::testing::Sample;
use dataflow_webhooks::{Endpoint, Outcome, RejectionKind};
use lambda_http::request::LambdaRequest;
use lambda_receiver::{Answer, service};
use serde_json::json;
use tower::ServiceExt as _;
use webhook_tests::{Request, endpoint, secret};

use crate::lambda_events::{Caller, Event};

fn delivery() -> Request {
    Request::signed(Sample::of("pipeline.run.completed").body())
}

/// Reads the event as the runtime does, and calls the service.
async fn invoke(endpoint: &Endpoint, event: &Event) -> Answer {
    let request: LambdaRequest = serde_json::from_value(event.json.clone()).unwrap();
    service(endpoint.clone()).oneshot(request.into()).await.unwrap()
}

/// The status, for an endpoint of its own, and how often a handler has succeeded.
async fn alone(event: &Event) -> (u16, u64) {
    let endpoint = endpoint().build().unwrap();
    let answer = invoke(&endpoint, event).await;
    (answer.status().as_u16(), endpoint.counts().handlers_succeeded)
}

#[tokio::test]
async fn an_authentic_event_is_handled_whoever_calls() {
    for caller in Caller::ALL {
        assert_eq!(alone(&caller.event(&delivery())).await, (200, 1), "{caller:?}");
    }
}

#[tokio::test]
async fn the_bytes_inside_of_base64_are_what_is_signed() {
    for caller in Caller::ALL {
        let event = caller.event(&delivery()).in_base64();
        assert_eq!(alone(&event).await, (200, 1), "{caller:?}");
    }
}

#[tokio::test]
async fn the_case_of_a_headers_name_does_not_matter() {
    for caller in Caller::ALL {
        for name in ["X-DataFlow-Signature", "x-dataflow-signature", "X-DATAFLOW-SIGNATURE"] {
            let event = caller.event(&delivery()).signature_named(name);
            assert!(event.json["headers"].get(name).is_some());
            assert_eq!(alone(&event).await, (200, 1), "{caller:?} {name}");
        }
    }
}

#[tokio::test]
async fn a_body_that_was_changed_is_refused() {
    for caller in Caller::ALL {
        let mut request = delivery();
        request.body = Sample::of("pipeline.run.completed").body();
        for event in [caller.event(&request), caller.event(&request).in_base64()] {
            let endpoint = endpoint().build().unwrap();
            let answer = invoke(&endpoint, &event).await;
            assert_eq!(answer.status(), 401, "{caller:?}");
            assert_eq!(answer.headers()["www-authenticate"], "DataFlow-Signature");
            let outcome = Outcome::Rejected(RejectionKind::NoMatch);
            assert_eq!(answer.extensions().get(), Some(&outcome), "{caller:?}");
        }
    }
}

#[tokio::test]
async fn a_signature_of_an_hour_ago_is_refused() {
    for caller in Caller::ALL {
        let body = Sample::of("pipeline.run.completed").body();
        let event = caller.event(&Request::signed_with(&secret(), -3600, body));
        assert_eq!(alone(&event).await, (401, 0), "{caller:?}");
    }
}

#[tokio::test]
async fn a_duplicate_is_200_and_does_not_run_again_from_whichever_caller() {
    let endpoint = endpoint().build().unwrap();
    let body = Sample::of("pipeline.run.completed").body();
    for caller in Caller::ALL {
        let answer = invoke(&endpoint, &caller.event(&Request::signed(body.clone()))).await;
        assert_eq!(answer.status(), 200, "{caller:?}");
        let expected = (caller != Caller::ALL[0]).then_some(&Outcome::Duplicate);
        assert_eq!(answer.extensions().get(), expected, "{caller:?}");
    }
    assert_eq!(endpoint.counts().handlers_succeeded, 1);
}

#[tokio::test]
async fn an_authentic_body_that_is_no_object_is_422() {
    for caller in Caller::ALL {
        assert_eq!(alone(&caller.event(&Request::signed(&b"[]"[..]))).await, (422, 0));
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_413() {
    for caller in Caller::ALL {
        let request = Request::signed(vec![b' '; 1024 * 1024 + 1]);
        assert_eq!(alone(&caller.event(&request)).await, (413, 0), "{caller:?}");
    }
}

#[tokio::test]
async fn another_method_than_post_is_405() {
    for caller in Caller::ALL {
        assert_eq!(alone(&caller.event(&delivery().method("PUT"))).await, (405, 0), "{caller:?}");
    }
}

#[tokio::test]
async fn lines_that_a_gateway_has_joined_are_refused() {
    // Payload 2.0 joins the lines of one header with commas.
    let request = delivery();
    let line = String::from_utf8(request.headers.last().unwrap().1.clone()).unwrap();
    for caller in [Caller::HttpApi, Caller::FunctionUrl] {
        let mut event = caller.event(&request);
        event.set_header("x-dataflow-signature", &format!("{line},{line}"));
        assert_eq!(alone(&event).await, (401, 0), "{caller:?}");
    }
}

#[tokio::test]
async fn of_several_lines_lambda_http_shows_the_last_for_payload_1() {
    // So two lines are not refused here, and it is the last one that must match.
    let request = delivery();
    let line = String::from_utf8(request.headers.last().unwrap().1.clone()).unwrap();
    let forged = line.replace("v1=", "v1=00");
    for (lines, expected) in [([&forged, &line], (200, 1)), ([&line, &forged], (401, 0))] {
        let mut event = Caller::RestApi.event(&request);
        event.json["multiValueHeaders"]["X-DataFlow-Signature"] = json!(lines);
        event.json["headers"]["X-DataFlow-Signature"] = json!(lines[1]);
        assert_eq!(alone(&event).await, expected);
    }
}

fn listing(networks: &str) -> Endpoint {
    endpoint().source(networks.parse().unwrap()).build().unwrap()
}

#[tokio::test]
async fn the_source_is_who_the_gateway_says_has_called_it() {
    let endpoint = listing("198.51.100.0/24, 2001:db8::/32");
    for caller in Caller::WITH_SOURCE {
        for (source, status) in
            [("198.51.100.9", 200), ("2001:db8::7", 200), ("198.51.101.9", 403), ("nonsense", 403)]
        {
            let event = caller.event(&delivery()).from(source);
            assert_eq!(invoke(&endpoint, &event).await.status(), status, "{caller:?} {source}");
        }
    }
}

#[tokio::test]
async fn a_header_that_names_a_listed_address_is_not_read() {
    let endpoint = listing("198.51.100.0/24");
    for caller in Caller::WITH_SOURCE {
        let mut event = caller.event(&delivery()).from("203.0.113.7");
        event.set_header("x-forwarded-for", "198.51.100.9");
        assert_eq!(invoke(&endpoint, &event).await.status(), 403, "{caller:?}");
    }
}

#[tokio::test]
async fn behind_a_load_balancer_the_source_is_not_known() {
    let event = Caller::LoadBalancer.event(&delivery());
    assert_eq!(invoke(&listing("0.0.0.0/0, ::/0"), &event).await.status(), 403);
}
