//! `WebhookConfig`: the platform's JSON, what is refused and what is let pass.

use dataflow_webhooks::event::EventType;
use dataflow_webhooks::{ConfigError, ConfigWarning, WebhookConfig, sign};
use jiff::Timestamp;

/// "Example Configuration", verbatim.
const EXAMPLE: &str = r#"{
  "url": "https://yourapp.com/webhooks/dataflow",
  "events": [
    "pipeline.run.completed",
    "pipeline.run.failed",
    "connection.status.changed"
  ],
  "secret": "whsec_1a2b3c4d5e6f7g8h9i0j",
  "active": true
}"#;

const SECRET: &str = "whsec_1a2b3c4d5e6f7g8h9i0j";

fn load(json: &str) -> Result<WebhookConfig, ConfigError> {
    WebhookConfig::from_json(json)
}

fn refusal(json: &str) -> String {
    load(json).map_or_else(|error| error.to_string(), |config| panic!("it loads: {config:?}"))
}

/// A configuration with one member beside those that must be there.
fn with(member: &str) -> String {
    format!(r#"{{"url":"https://a.example/","events":["a"],"secret":"{SECRET}",{member}}}"#)
}

fn with_url(url: &str) -> String {
    format!(r#"{{"url":"{url}","events":["a"],"secret":"{SECRET}"}}"#)
}

#[test]
fn the_documented_example_loads() {
    let config = load(EXAMPLE).unwrap();
    assert_eq!(config.url(), "https://yourapp.com/webhooks/dataflow");
    let events = [
        EventType::PipelineRunCompleted,
        EventType::PipelineRunFailed,
        EventType::ConnectionStatusChanged,
    ];
    assert_eq!(config.events(), events);
    assert_eq!(config.secret().secret_str(), SECRET);
    assert!(config.active());
    assert_eq!(config.description(), None);
    assert_eq!(config.warnings(), []);
}

#[test]
fn bytes_and_a_byte_order_mark_load_too() {
    assert!(WebhookConfig::from_json(EXAMPLE.as_bytes()).is_ok());
    assert!(load(&format!("\u{feff}{EXAMPLE}")).is_ok());
}

#[test]
fn the_description_is_kept() {
    let config = load(&with(r#""description":"Café \"orders\"""#)).unwrap();
    assert_eq!(config.description(), Some("Café \"orders\""));
    assert_eq!(load(&with(r#""description":null"#)).unwrap().description(), None);
}

#[test]
fn unknown_and_repeated_event_names_are_kept_in_order() {
    let json = EXAMPLE.replace("pipeline.run.failed", "pipeline.run.cancelled");
    let json = json.replace("connection.status.changed", "pipeline.run.completed");
    let config = load(&json).unwrap();
    let names: Vec<&str> = config.events().iter().map(EventType::as_str).collect();
    let expected = ["pipeline.run.completed", "pipeline.run.cancelled", "pipeline.run.completed"];
    assert_eq!(names, expected);
    assert_eq!(config.warnings(), []);
}

#[test]
fn members_of_other_names_are_passed_over() {
    assert!(load(&with(r#""id":"wh_1","Secret":7,"retries":{"n":[1e400]}"#)).is_ok());
}

#[test]
fn an_inactive_webhook_loads_and_warns() {
    let config = load(&with(r#""active":false"#)).unwrap();
    assert!(!config.active());
    assert_eq!(config.warnings(), [ConfigWarning::Inactive]);
}

#[test]
fn a_missing_active_means_active() {
    assert!(load(&EXAMPLE.replace(r#""active""#, r#""other""#)).unwrap().active());
    assert!(load(&EXAMPLE.replace("true", "null")).unwrap().active());
}

#[test]
fn no_events_load_and_warn() {
    for events in ["[]", "null"] {
        let json =
            format!(r#"{{"url":"https://a.example","secret":"{SECRET}","events":{events}}}"#);
        assert_eq!(load(&json).unwrap().warnings(), [ConfigWarning::NoEvents]);
    }
    let json = format!(r#"{{"url":"https://a.example","secret":"{SECRET}"}}"#);
    assert_eq!(load(&json).unwrap().warnings(), [ConfigWarning::NoEvents]);
}

#[test]
fn http_is_for_loopback_alone() {
    for host in ["localhost", "LOCALHOST:3000", "127.0.0.1", "127.8.9.1:80", "[::1]", "[0:0::1]:9"]
    {
        let config = load(&with_url(&format!("http://{host}/hook")));
        assert!(config.is_ok(), "{host}: {config:?}");
    }
    for host in [
        "yourapp.com",
        "10.0.0.1",
        "128.0.0.1",
        "0.0.0.0",
        "[::2]",
        "[::ffff:127.0.0.1]",
        "localhost.yourapp.com",
        "127.0.0.1.yourapp.com",
        "loc%61lhost",
        "127.1",
        "0x7f.0.0.1",
    ] {
        let text = refusal(&with_url(&format!("http://{host}/hook")));
        assert!(text.contains("https://"), "{host}: {text}");
    }
}

#[test]
fn https_is_for_any_host_in_any_case() {
    for url in [
        "https://yourapp.com",
        "HTTPS://yourapp.com:8443/hook?x=1",
        "https://10.0.0.1/",
        "https://[2001:db8::1]/",
        "https://xn--mnchen-3ya.example/",
    ] {
        assert_eq!(load(&with_url(url)).unwrap().url(), url);
    }
}

#[test]
fn a_url_of_another_scheme_is_refused() {
    for url in ["ftp://yourapp.com/", "mailto:a@yourapp.com", "httpss://yourapp.com", "ws://[::1]/"]
    {
        assert!(refusal(&with_url(url)).contains("must begin with https://"), "{url}");
    }
}

#[test]
fn what_is_no_url_is_refused() {
    for url in ["", "yourapp.com/hook", "/hook", "https://your app.com", "https://münchen.example"]
    {
        assert!(refusal(&with_url(url)).contains("is no URL"), "{url}");
    }
}

#[test]
fn a_url_without_a_host_is_refused() {
    for url in ["https:///hook", "https://:443/", "https:hook"] {
        assert!(refusal(&with_url(url)).contains("no host"), "{url}");
    }
}

#[test]
fn a_url_with_credentials_is_refused_and_not_shown() {
    for url in ["https://ada:hunter2@yourapp.com/", "http://localhost@yourapp.com", "https://@a.b/"]
    {
        let text = refusal(&with_url(url));
        assert!(text.contains("user name or password"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_port_that_is_none_is_refused() {
    for port in ["0", "65536", "99999999999999999999"] {
        assert!(
            refusal(&with_url(&format!("https://a.example:{port}/"))).contains("port"),
            "{port}"
        );
    }
    assert!(load(&with_url("https://a.example:65535/")).is_ok());
}

#[test]
fn a_missing_member_is_named() {
    for name in ["url", "secret"] {
        let json = EXAMPLE.replace(&format!("\"{name}\""), "\"other\"");
        assert!(refusal(&json).contains(&format!("has no {name}")), "{}", refusal(&json));
    }
}

#[test]
fn a_member_that_is_there_twice_is_refused() {
    let json = with(r#""secret":"whsec_another_one_entirely""#);
    assert!(refusal(&json).contains("secret twice"), "{}", refusal(&json));
}

#[test]
fn a_member_of_another_type_is_named() {
    for (from, to, says) in [
        ("\"https://yourapp.com/webhooks/dataflow\"", "7", "url in the webhook configuration must"),
        ("true", "\"yes\"", "active in the webhook configuration must be true or false"),
        ("\"pipeline.run.failed\"", "7", "events in the webhook configuration must be a list"),
        ("[\n", "{\"a\":[\n", "not JSON"),
    ] {
        let text = refusal(&EXAMPLE.replace(from, to));
        assert!(text.contains(says), "{text}");
    }
    assert!(refusal(&with(r#""description":7"#)).contains("description"));
}

#[test]
fn what_is_no_json_object_is_refused_with_its_place() {
    assert!(refusal("{\n  \"url\": }").contains("line 2, column 10"));
    assert!(refusal(&format!("{EXAMPLE}x")).contains("not JSON"));
    for json in ["[]", "7", "null", "\"text\""] {
        assert!(refusal(json).contains("not a JSON object"), "{json}");
    }
    let error = WebhookConfig::from_json(b"{\"url\":\"\xff\"}").unwrap_err();
    assert!(error.to_string().contains("not UTF-8"));
}

#[test]
fn a_secret_that_is_none_is_refused_with_the_reason() {
    for (secret, says) in
        [("", "is empty"), ("whsec_short", "11 bytes"), ("whsec_ 123456789", "byte 6")]
    {
        let text = refusal(&EXAMPLE.replace(SECRET, secret));
        assert!(text.starts_with("secret in the webhook configuration: "), "{text}");
        assert!(text.contains(says), "{text}");
    }
}

#[test]
fn no_error_and_no_debug_shows_the_secret() {
    let private = "1a2b3c4d5e6f7g8h9i0j";
    let broken = [
        EXAMPLE.replace("whsec_1", "whsec 1"),
        EXAMPLE.replace("whsec_1", "whsec,1"),
        EXAMPLE.replace("whsec_1", r"whsec\u00001"),
        EXAMPLE.replace("whsec_1", r"whsec\ud8001"),
        EXAMPLE.replace("whsec_1", r"whsec\q1"),
        EXAMPLE.replace("\"whsec_1a2b3c4d5e6f7g8h9i0j\"", "[\"whsec_1a2b3c4d5e6f7g8h9i0j\"]"),
        EXAMPLE.replace(
            "\"https://yourapp.com/webhooks/dataflow\"",
            &format!("{{\"a\":\"{SECRET}\"}}"),
        ),
        EXAMPLE.replace("true", &format!("\"{SECRET}\"")),
        EXAMPLE.replace("pipeline.run.failed", SECRET).replace("true", "7"),
        EXAMPLE.replace("\"secret\":", "\"secret\""),
        EXAMPLE.replace("https://yourapp.com", &format!("ftp://{SECRET}.com")),
        format!("\"{SECRET}\""),
        format!("[\"{SECRET}\"]"),
        SECRET.to_owned(),
    ];
    for json in broken {
        let error = load(&json).unwrap_err();
        let mut texts = vec![error.to_string(), format!("{error:?}")];
        let mut source = std::error::Error::source(&error);
        while let Some(error) = source {
            texts.extend([error.to_string(), format!("{error:?}")]);
            source = error.source();
        }
        assert!(texts.iter().all(|text| !text.contains(private)), "{texts:?}");
    }
    let shown = format!("{:?}", load(EXAMPLE).unwrap());
    assert!(!shown.contains(private) && shown.contains("yourapp.com"), "{shown}");
}

#[test]
fn the_builder_has_the_secret() {
    let config = load(EXAMPLE).unwrap();
    let endpoint = config.endpoint_builder().build().unwrap();
    let header = sign(config.secret(), Timestamp::now(), b"{}");
    let mut verification = endpoint.begin("POST", [header], None).unwrap();
    verification.update("{}").unwrap();
    assert_eq!(verification.finish().unwrap().key(), "current");
}

#[test]
fn a_file_loads_and_a_missing_one_is_named() {
    let name = format!("dataflow-webhooks-config-{}.json", std::process::id());
    let path = std::env::temp_dir().join(name);
    let text = WebhookConfig::from_file(&path).unwrap_err().to_string();
    assert!(text.contains(&path.display().to_string()), "{text}");
    std::fs::write(&path, EXAMPLE).unwrap();
    let config = WebhookConfig::from_file(&path);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(config.unwrap().url(), "https://yourapp.com/webhooks/dataflow");
}
