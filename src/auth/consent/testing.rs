//! A server that is none, for the tests of the two conversations.

use super::{Ask, Server};
use crate::auth::grant::GrantError;
use crate::auth::store::StoredTokens;
use crate::auth::token_request::Exchange;
use crate::job::{ClientAuth, Endpoints, Grant, GrantKind, OAuthClient};
use oauth2::StandardDeviceAuthorizationResponse;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use tokio::time::Instant;

type Fields = BTreeMap<String, String>;

#[derive(Default)]
pub(super) struct FakeServer {
    refusals: Mutex<VecDeque<GrantError>>,
    forms: Mutex<Vec<Fields>>,
    asked: Mutex<Vec<Instant>>,
}

impl FakeServer {
    pub(super) fn refusing(refusals: Vec<GrantError>) -> FakeServer {
        FakeServer {
            refusals: Mutex::new(refusals.into()),
            ..FakeServer::default()
        }
    }

    /// Every form that came.
    pub(super) fn forms(&self) -> Vec<Fields> {
        self.forms.lock().unwrap().clone()
    }

    /// When tokens were asked for.
    pub(super) fn asked(&self) -> Vec<Instant> {
        self.asked.lock().unwrap().clone()
    }

    fn note(&self, form: &[(&str, SecretString)]) {
        let fields = form
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.expose_secret().to_owned()));
        self.forms.lock().unwrap().push(fields.collect());
    }
}

impl Ask for FakeServer {
    async fn tokens(&self, exchange: &Exchange<'_>) -> Result<StoredTokens, GrantError> {
        match *exchange {
            Exchange::AuthorizationCode {
                code,
                redirect_uri,
                verifier,
            } => self.note(&[
                ("code", code.clone()),
                ("redirect_uri", redirect_uri.into()),
                ("code_verifier", verifier.clone()),
            ]),
            Exchange::DeviceCode(code) => self.note(&[("device_code", code.clone())]),
            _ => panic!("{exchange:?}"),
        }
        self.asked.lock().unwrap().push(Instant::now());
        match self.refusals.lock().unwrap().pop_front() {
            Some(refusal) => Err(refusal),
            None => Ok(StoredTokens {
                access_token: "access-1".into(),
                refresh_token: None,
                expires: None,
                seed: None,
            }),
        }
    }

    async fn device(
        &self,
        endpoint: &Url,
        form: Vec<(&str, SecretString)>,
    ) -> Result<StandardDeviceAuthorizationResponse, GrantError> {
        assert_eq!(endpoint.path(), "/device");
        self.note(&form);
        let response = serde_json::json!({
            "device_code": "device-code",
            "user_code": "WDJB-\u{1b}MJHT",
            // Google's spelling.
            "verification_url": "https://auth.example.com/enter",
            "verification_uri_complete": "https://auth.example.com/enter?user_code=WDJB-MJHT",
            "expires_in": 300,
        });
        Ok(serde_json::from_value(response).unwrap())
    }
}

pub(super) fn server() -> Server {
    let url = |path: &str| format!("https://auth.example.com{path}").parse().ok();
    Server {
        name: "auth.example.com".into(),
        issuer: Some("https://auth.example.com".into()),
        iss_promised: true,
        authorization: url("/authorize"),
        device: url("/device"),
    }
}

pub(super) fn grant(kind: GrantKind) -> Grant {
    Grant {
        kind,
        endpoints: Endpoints::default(),
        client: OAuthClient {
            id: Some("client-of-the-test".to_owned().into()),
            auth: ClientAuth::None,
        },
        scope: "read write".into(),
        params: Vec::new(),
        allow_http: false,
    }
}
