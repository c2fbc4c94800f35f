//! What the target answers.
//!
//! Owns the two endpoints and the check for a bearer token. Every answer of a
//! kind costs the same: the body is one copy of a prepared one.

use crate::log::Log;
use bytes::Bytes;
use harvest_bench::track::Template;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Version};
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

const TRACKS: &str = "/v1/tracks/";
const TOKEN: &[u8] =
    br#"{"access_token":"a-token-of-the-bench","token_type":"Bearer","expires_in":3600}"#;

/// The API.
pub(crate) struct Api {
    template: Template,
    latency: Duration,
    log: Arc<Log>,
}

impl Api {
    pub(crate) fn new(template: Template, latency: Duration, log: Arc<Log>) -> Api {
        Api {
            template,
            latency,
            log,
        }
    }

    /// Any request's answer.
    pub(crate) async fn answer(
        self: Rc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let path = request.uri().path();
        if request.method() == Method::POST && path == "/api/token" {
            self.log.token();
            return Ok(json(StatusCode::OK, Bytes::from_static(TOKEN)));
        }
        let Some(id) = path.strip_prefix(TRACKS).filter(|id| !id.is_empty()) else {
            return Ok(error(StatusCode::NOT_FOUND, br#"{"error":{"status":404}}"#));
        };
        let arrived = Instant::now();
        if !is_bearer(&request) {
            self.log.unauthorized();
            return Ok(error(
                StatusCode::UNAUTHORIZED,
                br#"{"error":{"status":401}}"#,
            ));
        }
        self.log
            .arrival(arrived, request.version() == Version::HTTP_2);
        if !self.latency.is_zero() {
            tokio::time::sleep_until((arrived + self.latency).into()).await;
            self.log.served(arrived.elapsed());
        }
        Ok(json(
            StatusCode::OK,
            self.template.body(id.as_bytes()).into(),
        ))
    }
}

fn is_bearer(request: &Request<Incoming>) -> bool {
    request
        .headers()
        .get(AUTHORIZATION)
        .is_some_and(|value| value.as_bytes().starts_with(b"Bearer "))
}

fn json(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn error(status: StatusCode, body: &'static [u8]) -> Response<Full<Bytes>> {
    json(status, Bytes::from_static(body))
}
