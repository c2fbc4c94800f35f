//! What `[auth]` says, as validated values.

use super::SigningKey;
use reqwest::Url;
use reqwest::header::HeaderName;
use secrecy::SecretString;
use serde_json_path::JsonPath;
use std::net::IpAddr;
use std::time::Duration;

/// `[auth]`: whose credentials go along.
#[derive(Debug, Clone)]
pub enum Auth {
    /// No credentials.
    None,
    /// `Authorization: Bearer …` with a token that does not change.
    Bearer {
        /// `token`.
        token: SecretString,
    },
    /// HTTP Basic (RFC 7617).
    Basic {
        /// `username`.
        username: String,
        /// `password`.
        password: SecretString,
    },
    /// A key in a header or a query parameter.
    ApiKey {
        /// `in`.
        place: ApiKeyPlace,
        /// `name` of the header or the query parameter.
        name: String,
        /// `value`.
        value: SecretString,
    },
    /// Access tokens by an OAuth2 grant (RFC 6749).
    Grant(Box<Grant>),
    /// Tokens by an API's own log-in.
    Login(Box<Login>),
}

/// `[auth] in` for an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiKeyPlace {
    /// A request header.
    Header,
    /// A query parameter.
    Query,
}

/// An OAuth2 grant: how access tokens are come by.
#[derive(Debug, Clone)]
pub struct Grant {
    /// `type`, with what is its own.
    pub kind: GrantKind,
    /// Where to ask.
    pub endpoints: Endpoints,
    /// Who asks.
    pub client: OAuthClient,
    /// `scope`: space-separated; empty is not sent.
    pub scope: String,
    /// `params`: extra form parameters of every token request (audience, resource …).
    pub params: Vec<(String, SecretString)>,
    /// `allow_http`: endpoints may be plain http beyond loopback.
    pub allow_http: bool,
}

impl Grant {
    /// A person has to consent, once: `harvest login`.
    pub fn needs_login(&self) -> bool {
        matches!(
            self.kind,
            GrantKind::AuthorizationCode { .. } | GrantKind::DeviceCode { .. }
        )
    }
}

/// `[auth] type`, for an OAuth2 grant.
#[derive(Debug, Clone)]
pub enum GrantKind {
    /// RFC 6749 section 4.4.
    ClientCredentials,
    /// RFC 6749 section 6, with a refresh token that was come by elsewhere.
    RefreshToken {
        /// `refresh_token`: the first one; a rotated one takes its place.
        refresh_token: SecretString,
    },
    /// RFC 6749 section 4.1 with PKCE (RFC 7636) and a loopback redirect (RFC 8252).
    AuthorizationCode {
        /// `redirect_port`: of the loopback redirect; `None` is any free one.
        redirect_port: Option<u16>,
        /// `authorization_params`: extra parameters of the authorization request.
        authorization_params: Vec<(String, SecretString)>,
    },
    /// RFC 8628.
    DeviceCode {
        /// `authorization_params`: extra parameters of the device authorization request.
        authorization_params: Vec<(String, SecretString)>,
    },
    /// RFC 7523 section 2.1.
    JwtBearer(Assertion),
}

/// Where a grant's requests go; what is `None` is found by the issuer's metadata.
#[derive(Debug, Clone, Default)]
pub struct Endpoints {
    /// `issuer`: there when an endpoint that the grant needs is not.
    pub issuer: Option<Issuer>,
    /// `token_url`.
    pub token: Option<Url>,
    /// `authorization_url`.
    pub authorization: Option<Url>,
    /// `device_authorization_url`.
    pub device_authorization: Option<Url>,
}

impl Endpoints {
    /// The host that token requests go to, as far as the job file says.
    pub fn host(&self) -> Option<&str> {
        let issuer = self.issuer.as_ref().map(|issuer| &issuer.url);
        self.token.as_ref().or(issuer)?.host_str()
    }
}

/// An authorization server's identifier (RFC 8414 section 2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// As the job file says it: compared with the metadata's letter by letter.
    pub text: String,
    /// The same, to build the metadata's address from: no query, no fragment.
    pub url: Url,
}

/// The client of a grant.
#[derive(Debug, Clone)]
pub struct OAuthClient {
    /// `client_id`; `None` only where the assertion says it all (`jwt_bearer`).
    pub id: Option<SecretString>,
    /// `client_auth`, with what it takes.
    pub auth: ClientAuth,
}

/// `[auth] client_auth`: how the client authenticates itself at the token endpoint.
#[derive(Debug, Clone)]
pub enum ClientAuth {
    /// `none`: a public client says its `client_id` only.
    None,
    /// `client_secret_basic` (RFC 6749 section 2.3.1): the Authorization header.
    Basic(SecretString),
    /// `client_secret_post`: the request body.
    Post(SecretString),
    /// RFC 7523 section 2.2: a signed assertion; its issuer and subject are the `client_id`.
    PrivateKeyJwt(Assertion),
}

/// A JWT to sign and hand to the token endpoint (RFC 7523 section 3).
#[derive(Debug, Clone)]
pub struct Assertion {
    /// `key`, `key_id`, `algorithm`.
    pub key: SigningKey,
    /// `claims`, `iss` and `sub` among them; `aud` is the token endpoint when it is not here.
    pub claims: Vec<(String, SecretString)>,
    /// `lifetime`: from `iat` to `exp`.
    pub lifetime: Duration,
}

/// Plain http that leaves this machine.
pub(crate) fn in_clear(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    let loopback = host == "localhost" || address.is_some_and(|address| address.is_loopback());
    url.scheme() == "http" && !loopback
}

/// An API's own log-in: one POST, and the token is in the answer.
#[derive(Debug, Clone)]
pub struct Login {
    /// `login_url`.
    pub url: Url,
    /// `form` or `json`.
    pub body: LoginBody,
    /// `token_path`, `token_header` or `token_cookie`.
    pub token: LoginToken,
    /// `expires` or `expires_in_path`; `None` uses a token until it is refused.
    pub life: Option<LoginLife>,
    /// `send_as`, `name`, `prefix`.
    pub send: TokenUse,
}

/// What is posted to log in.
#[derive(Debug, Clone)]
pub enum LoginBody {
    /// `form`: application/x-www-form-urlencoded.
    Form(Vec<(String, SecretString)>),
    /// `json`: the text of a JSON object.
    Json(SecretString),
}

/// Where the answer of a log-in has the token.
#[derive(Debug, Clone)]
pub enum LoginToken {
    /// `token_path`: in the JSON body.
    Body(JsonPath),
    /// `token_header`: in a response header.
    Header(HeaderName),
    /// `token_cookie`: in a cookie of this name.
    Cookie(String),
}

/// How long a log-in's token lives.
#[derive(Debug, Clone)]
pub enum LoginLife {
    /// `expires`: always so long.
    Fixed(Duration),
    /// `expires_in_path`: seconds, in the JSON body.
    Body(JsonPath),
}

/// How a log-in's token goes along with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenUse {
    /// A header's value, with `prefix` before the token: `Authorization: Bearer …` by default.
    Header {
        /// `name`.
        name: HeaderName,
        /// `prefix`.
        prefix: String,
    },
    /// A cookie of this name.
    Cookie(String),
}
