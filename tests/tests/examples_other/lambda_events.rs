//! What AWS Lambda hands to a function: the recorded events of the example, with a
//! delivery put in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use webhook_tests::Request;

/// Who calls the function; the recorded event of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    RestApi,
    HttpApi,
    FunctionUrl,
    LoadBalancer,
}

impl Caller {
    pub(crate) const ALL: [Self; 4] =
        [Self::RestApi, Self::HttpApi, Self::FunctionUrl, Self::LoadBalancer];

    /// Those that say who called them.
    pub(crate) const WITH_SOURCE: [Self; 3] = [Self::RestApi, Self::HttpApi, Self::FunctionUrl];

    fn recorded(self) -> &'static str {
        match self {
            Self::RestApi => {
                include_str!("../../../examples/lambda-receiver/events/rest-api-v1.json")
            }
            Self::HttpApi => {
                include_str!("../../../examples/lambda-receiver/events/http-api-v2.json")
            }
            Self::FunctionUrl => {
                include_str!("../../../examples/lambda-receiver/events/function-url.json")
            }
            Self::LoadBalancer => {
                include_str!("../../../examples/lambda-receiver/events/load-balancer.json")
            }
        }
    }

    /// The event of this request: its method, its signature line and its body.
    pub(crate) fn event(self, request: &Request) -> Event {
        let json = serde_json::from_str(self.recorded()).expect("a recorded event");
        let mut event = Event { caller: self, json };
        event.json["body"] = json!(String::from_utf8_lossy(&request.body));
        event.set_header("content-length", &request.body.len().to_string());
        let method = match self {
            Self::RestApi | Self::LoadBalancer => &mut event.json["httpMethod"],
            Self::HttpApi | Self::FunctionUrl => {
                &mut event.json["requestContext"]["http"]["method"]
            }
        };
        *method = json!(request.method);
        let (name, line) = request.headers.last().expect("a header");
        event.set_header(name, str::from_utf8(line).expect("a line of text"));
        event
    }
}

/// One event, as JSON.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    caller: Caller,
    pub(crate) json: Value,
}

impl Event {
    /// Sets a header, whatever the case of its name in the event.
    pub(crate) fn set_header(&mut self, name: &str, value: &str) {
        self.rename_header(name, None, value);
    }

    /// Sets the signature header, under a name in this case.
    pub(crate) fn signature_named(mut self, name: &str) -> Self {
        let recorded = self.json["headers"].as_object().expect("headers");
        let line = recorded.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        let line = line.expect("a signature").1.as_str().expect("text").to_owned();
        self.rename_header(name, Some(name), &line);
        self
    }

    fn rename_header(&mut self, name: &str, new_name: Option<&str>, value: &str) {
        for (lists, in_list) in [("headers", false), ("multiValueHeaders", true)] {
            let Some(headers) = self.json.get_mut(lists).and_then(Value::as_object_mut) else {
                continue;
            };
            let old = headers.keys().find(|other| other.eq_ignore_ascii_case(name)).cloned();
            if let Some(old) = &old {
                headers.remove(old);
            }
            let name = new_name.map(str::to_owned).or(old).unwrap_or_else(|| name.to_owned());
            headers.insert(name, if in_list { json!([value]) } else { json!(value) });
        }
    }

    /// The same with its body in base64, as for a media type that is binary.
    pub(crate) fn in_base64(mut self) -> Self {
        let body = self.json["body"].as_str().expect("a body").to_owned();
        self.json["body"] = json!(STANDARD.encode(body));
        self.json["isBase64Encoded"] = json!(true);
        self
    }

    /// The same, called from this address.
    pub(crate) fn from(mut self, source: &str) -> Self {
        let context = &mut self.json["requestContext"];
        match self.caller {
            Caller::RestApi => context["identity"]["sourceIp"] = json!(source),
            Caller::HttpApi | Caller::FunctionUrl => context["http"]["sourceIp"] = json!(source),
            Caller::LoadBalancer => panic!("a load balancer does not say"),
        }
        self
    }
}
