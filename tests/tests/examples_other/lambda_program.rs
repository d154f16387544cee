//! lambda-receiver: the program, called over the Lambda Runtime API, which is
//! played here on loopback.

use std::process::Command;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use dataflow_webhooks::testing::Sample;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use webhook_tests::{Example, Request, SECRET};

use crate::lambda_events::{Caller, Event};

const FUNCTION: &str = "arn:aws:lambda:eu-central-1:123456789012:function:receiver";

/// `lambda-receiver` with nothing set but what Lambda sets.
fn lambda(runtime_api: &str) -> Command {
    let mut command = Example::command("lambda-receiver");
    command
        .env("AWS_LAMBDA_RUNTIME_API", runtime_api)
        .env("AWS_LAMBDA_FUNCTION_NAME", "receiver")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST");
    command
}

/// The function's answers, by the number of the request.
type Answers = mpsc::UnboundedReceiver<(String, Value)>;

struct Instance {
    program: Example,
    events: mpsc::UnboundedSender<Value>,
    answers: Answers,
    serving: JoinHandle<()>,
}

#[derive(Clone)]
struct Api {
    events: Arc<Mutex<mpsc::UnboundedReceiver<Value>>>,
    answers: mpsc::UnboundedSender<(String, Value)>,
}

impl Instance {
    /// Starts the program, which asks for its first request.
    async fn start(configure: impl FnOnce(&mut Command)) -> Self {
        let (events, waiting) = mpsc::unbounded_channel();
        let (answered, answers) = mpsc::unbounded_channel();
        let api = Api { events: Arc::new(Mutex::new(waiting)), answers: answered };
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/{what}", post(answer))
            .with_state(api);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut command = lambda(&listener.local_addr().unwrap().to_string());
        command.env("DATAFLOW_WEBHOOK_SECRET", SECRET);
        configure(&mut command);
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { program: Example::start(&mut command), events, answers, serving }
    }

    /// What the program answers to an event.
    async fn invoke(&mut self, event: &Event) -> Value {
        self.events.send(event.json.clone()).unwrap();
        let answer = tokio::time::timeout(std::time::Duration::from_secs(30), self.answers.recv());
        let (what, answer) = answer.await.expect("an answer in time").expect("an answer");
        assert_eq!(what, "response", "{answer}");
        answer
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Waits until there is a request, as Lambda does.
async fn next(State(api): State<Api>) -> Result<(HeaderMap, String), StatusCode> {
    let event = api.events.lock().await.recv().await.ok_or(StatusCode::GONE)?;
    let headers = [
        ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd"),
        ("lambda-runtime-deadline-ms", "4102444800000"),
        ("lambda-runtime-invoked-function-arn", FUNCTION),
        ("content-type", "application/json"),
    ];
    let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    Ok((HeaderMap::from_iter(headers), event.to_string()))
}

/// `response`, or `error`.
async fn answer(
    State(api): State<Api>,
    Path((_, what)): Path<(String, String)>,
    body: String,
) -> StatusCode {
    let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
    api.answers.send((what, body)).unwrap();
    StatusCode::ACCEPTED
}

#[tokio::test]
async fn each_event_is_one_line_on_stdout_and_its_duplicate_none() {
    let mut instance = Instance::start(|_| {}).await;
    let body = Sample::of("pipeline.run.completed").id("evt_1").body();
    for caller in Caller::ALL {
        let answer = instance.invoke(&caller.event(&Request::signed(body.clone()))).await;
        assert_eq!(answer["statusCode"], 200, "{answer}");
        let text = if caller == Caller::ALL[0] { "" } else { "already handled\n" };
        assert_eq!(answer["body"], text, "{caller:?}: {answer}");
    }
    assert_eq!(
        instance.program.killed().await,
        [r#"{"event_id":"evt_1","type":"pipeline.run.completed","epoch":1,"key":"current"}"#]
    );
}

#[tokio::test]
async fn what_is_refused_is_answered_as_text_with_its_headers() {
    let mut instance = Instance::start(|_| {}).await;
    for caller in Caller::ALL {
        let mut request = Request::signed(Sample::of("pipeline.created").body());
        request.body = Sample::of("pipeline.created").body();
        let answer = instance.invoke(&caller.event(&request)).await;
        assert_eq!(
            (&answer["statusCode"], &answer["isBase64Encoded"], &answer["body"]),
            (&json!(401), &json!(false), &json!("the signature was not accepted\n")),
        );
        let headers = match caller {
            Caller::RestApi => &answer["multiValueHeaders"]["www-authenticate"][0],
            _ => &answer["headers"]["www-authenticate"],
        };
        assert_eq!(headers, "DataFlow-Signature", "{caller:?}: {answer}");
    }
    assert_eq!(instance.program.killed().await, [""; 0]);
}

#[tokio::test]
async fn its_allowed_sources_come_from_the_environment() {
    let mut instance = Instance::start(|command| {
        command.env("ALLOWED_SOURCES", "198.51.100.0/24");
    })
    .await;
    for caller in Caller::WITH_SOURCE {
        let from = |source| {
            let body = Sample::of("pipeline.created").body();
            caller.event(&Request::signed(body)).from(source)
        };
        assert_eq!(instance.invoke(&from("198.51.100.9")).await["statusCode"], 200);
        assert_eq!(instance.invoke(&from("203.0.113.7")).await["statusCode"], 403);
    }
}

#[tokio::test]
async fn the_log_can_name_the_sources_before_any_is_refused() {
    let mut instance = Instance::start(|command| {
        command.env("ALLOWED_SOURCES_REPORT_ONLY", "1");
    })
    .await;
    let body = Sample::of("pipeline.created").body();
    let event = Caller::FunctionUrl.event(&Request::signed(body)).from("203.0.113.7");
    assert_eq!(instance.invoke(&event).await["statusCode"], 200);
    instance.program.logged("came from 203.0.113.7, which is not on the allow-list").await;
}

#[tokio::test]
async fn behind_a_trusted_cdn_the_source_is_what_its_header_says() {
    let mut instance = Instance::start(|command| {
        command
            .env("ALLOWED_SOURCES", "198.51.100.0/24")
            .env("TRUSTED_PROXIES", "203.0.113.0/24")
            .env("FORWARDED_HEADER", "X-Forwarded-For");
    })
    .await;
    for caller in Caller::WITH_SOURCE {
        for (source, status) in [("198.51.100.9", 200), ("192.0.2.1", 403)] {
            let body = Sample::of("pipeline.created").body();
            let mut event = caller.event(&Request::signed(body)).from("203.0.113.7");
            // The gateway adds who called it.
            event.set_header("x-forwarded-for", &format!("{source}, 203.0.113.7"));
            assert_eq!(instance.invoke(&event).await["statusCode"], status, "{caller:?}");
        }
    }
}

#[tokio::test]
async fn neither_secret_nor_body_is_ever_printed() {
    let mut instance = Instance::start(|command| {
        command.env("RUST_LOG", "info,dataflow_webhooks=trace");
    })
    .await;
    let body = Sample::of("pipeline.created").data("note", "not-for-the-log").body();
    instance.invoke(&Caller::HttpApi.event(&Request::signed(body))).await;
    let printed = instance.program.killed().await;
    let all = instance.program.log() + &printed.join("\n");
    assert!(all.contains("answered 200"), "{all}");
    for private in [SECRET, "not-for-the-log"] {
        assert!(!all.contains(private), "{all}");
    }
}

#[tokio::test]
async fn without_a_secret_it_ends_with_2_and_asks_for_no_request() {
    let (code, line) = Example::refusal(&mut lambda("127.0.0.1:1")).await;
    assert_eq!(code, Some(2));
    assert!(line.contains("DATAFLOW_WEBHOOK_SECRET_FILE"), "{line}");
}

#[tokio::test]
async fn a_bad_list_of_sources_ends_it_with_2() {
    for sources in ["", "nonsense", "10.0.0.0/99", "10.0.0.1,"] {
        let mut command = lambda("127.0.0.1:1");
        command.env("DATAFLOW_WEBHOOK_SECRET", SECRET).env("ALLOWED_SOURCES", sources);
        let (code, line) = Example::refusal(&mut command).await;
        assert_eq!(code, Some(2), "{line}");
        assert!(line.contains("ALLOWED_SOURCES"), "{line}");
    }
}
