//! `[auth]` for the OAuth2 grants: the client, and what is each one's own.

use super::key::{Signer, client_assertion, grant_assertion, read_signer};
use super::{Address, AuthType, endpoints, secret};
use crate::job::diagnostic::Diagnostic;
use crate::job::sections::reader::{Field, Reader, Section, StandIn};
use crate::job::{ClientAuth, Grant, GrantKind, OAuthClient};
use secrecy::{ExposeSecret, SecretString};

/// Form parameters that the grant itself sets.
const GRANT_PARAMS: [&str; 11] = [
    "grant_type",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "assertion",
    "scope",
    "refresh_token",
    "code",
    "code_verifier",
    "device_code",
];

/// Parameters that the authorization request itself sets.
const AUTHORIZATION_PARAMS: [&str; 8] = [
    "response_type",
    "client_id",
    "client_secret",
    "redirect_uri",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
];

/// `client_auth`, before what it takes is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    None,
    Basic,
    Post,
    PrivateKeyJwt,
}

pub(super) fn read(
    reader: &mut Reader,
    section: &Section<'_>,
    kind: AuthType,
    addresses: &mut Vec<Address>,
) -> Option<Grant> {
    let way = way(reader, section);
    let signs = kind == AuthType::JwtBearer || way == Some(Way::PrivateKeyJwt);
    if !signs {
        tell_unsigned(reader, section);
    }
    let signer = match signs {
        true => read_signer(reader, section, kind).map(Some),
        false => Some(None),
    };
    let found = signer.iter().flatten().find_map(|s| s.token_url.clone());
    // A key that is no good may have named the endpoint.
    let endpoints = match (&signer, section.get("key_file")) {
        (None, Some(_)) => None,
        _ => endpoints::read(reader, section, kind, found, addresses),
    };
    let client = way.and_then(|way| client(reader, section, kind, way, signer.as_ref()));
    let scope = section.optional("scope", String::new(), |field| {
        let text = reader.text(field, StandIn::InSandbox)?;
        Some(text.value().trim().to_owned())
    });
    let params = section.optional("params", Vec::new(), |field| {
        let help = "the grant sets it itself; `scope` is a key of [auth]";
        read_params(reader, field, &GRANT_PARAMS, help)
    });
    let (client, scope, signer) = (client, scope?, signer?);
    let kind = own(
        reader,
        section,
        kind,
        signer.as_ref(),
        client.as_ref(),
        &scope,
    );
    Some(Grant {
        kind: kind?,
        endpoints: endpoints?,
        client: client?,
        scope,
        params: params?,
        allow_http: false,
    })
}

/// How the client authenticates itself.
fn way(reader: &mut Reader, section: &Section<'_>) -> Option<Way> {
    let words = [
        ("basic", Way::Basic),
        ("post", Way::Post),
        ("none", Way::None),
        ("private_key_jwt", Way::PrivateKeyJwt),
    ];
    let default = match section.get("client_secret") {
        Some(_) => Way::Basic,
        None => Way::None,
    };
    section.optional("client_auth", default, |field| reader.choice(field, &words))
}

/// Tells the keys that are about an assertion where there is none.
fn tell_unsigned(reader: &mut Reader, section: &Section<'_>) {
    for name in ["key", "key_id", "algorithm", "claims", "lifetime"] {
        if let Some(field) = section.get(name) {
            let message = format!("`{name}` is for an assertion, and there is none here");
            let help = "say `client_auth = \"private_key_jwt\"`, or leave it out";
            reader.push(Diagnostic::new(message).at(field.key.clone()).help(help));
        }
    }
}

fn client(
    reader: &mut Reader,
    section: &Section<'_>,
    kind: AuthType,
    way: Way,
    signer: Option<&Option<Signer>>,
) -> Option<OAuthClient> {
    let example = "client_id = \"${CLIENT_ID}\"";
    let anonymous = kind == AuthType::JwtBearer && way == Way::None;
    let id = match section.get("client_id") {
        None if anonymous => Some(None),
        _ => secret(reader, section, "client_id", example).map(Some),
    };
    let secret_field = section.get("client_secret");
    let auth = match way {
        Way::Basic | Way::Post => {
            let example = "client_secret = \"${CLIENT_SECRET}\"";
            let secret = secret(reader, section, "client_secret", example);
            secret.map(|secret| match way {
                Way::Basic => ClientAuth::Basic(secret.into()),
                _ => ClientAuth::Post(secret.into()),
            })
        }
        Way::None | Way::PrivateKeyJwt if secret_field.is_some() => {
            let said = match way {
                Way::None => "none",
                _ => "private_key_jwt",
            };
            let message = format!("`client_secret` is not sent with `client_auth = \"{said}\"`");
            let help = "leave it out, or say `client_auth = \"basic\"` or \"post\"";
            if let Some(field) = secret_field {
                reader.push(Diagnostic::new(message).at(field.key.clone()).help(help));
            }
            None
        }
        Way::None if kind == AuthType::ClientCredentials => {
            match section.get("client_auth") {
                None => {
                    let example = "client_secret = \"${CLIENT_SECRET}\"";
                    reader.required(section, "client_secret", example);
                }
                Some(field) => {
                    let message = "`client_credentials` needs a client that authenticates itself";
                    let help =
                        "RFC 6749 section 4.4: say \"basic\", \"post\" or \"private_key_jwt\"";
                    reader.impossible(field, message, help);
                }
            }
            None
        }
        Way::None => Some(ClientAuth::None),
        Way::PrivateKeyJwt => match (signer, &id) {
            (Some(Some(signer)), Some(Some(id))) => {
                client_assertion(reader, section, signer, id, kind).map(ClientAuth::PrivateKeyJwt)
            }
            _ => None,
        },
    };
    Some(OAuthClient {
        id: id?.map(SecretString::from),
        auth: auth?,
    })
}

/// What is the type's own.
fn own(
    reader: &mut Reader,
    section: &Section<'_>,
    kind: AuthType,
    signer: Option<&Signer>,
    client: Option<&OAuthClient>,
    scope: &str,
) -> Option<GrantKind> {
    match kind {
        AuthType::RefreshToken => {
            let example = "refresh_token = \"${REFRESH_TOKEN}\"";
            let refresh_token = secret(reader, section, "refresh_token", example)?.into();
            Some(GrantKind::RefreshToken { refresh_token })
        }
        AuthType::AuthorizationCode => {
            let redirect_port =
                section.optional("redirect_port", None, |field| reader.port(field).map(Some));
            let authorization_params = authorization_params(reader, section);
            Some(GrantKind::AuthorizationCode {
                redirect_port: redirect_port?,
                authorization_params: authorization_params?,
            })
        }
        AuthType::DeviceCode => Some(GrantKind::DeviceCode {
            authorization_params: authorization_params(reader, section)?,
        }),
        AuthType::JwtBearer => {
            let client_id = client.and_then(|client| client.id.as_ref());
            let client_id = client_id.map(|id| id.expose_secret());
            let assertion = grant_assertion(reader, section, signer?, client_id, scope)?;
            Some(GrantKind::JwtBearer(assertion))
        }
        _ => Some(GrantKind::ClientCredentials),
    }
}

fn authorization_params(
    reader: &mut Reader,
    section: &Section<'_>,
) -> Option<Vec<(String, SecretString)>> {
    section.optional("authorization_params", Vec::new(), |field| {
        let help = "the request sets it itself; `scope` is a key of [auth]";
        read_params(reader, field, &AUTHORIZATION_PARAMS, help)
    })
}

fn read_params(
    reader: &mut Reader,
    field: &Field<'_>,
    set: &[&str],
    help: &str,
) -> Option<Vec<(String, SecretString)>> {
    let mut params = Vec::new();
    let mut whole = true;
    for param in reader.table(field)? {
        if set.contains(&param.name) {
            let message = format!("`{}` is not one of `{}`", param.name, field.name);
            reader.push(Diagnostic::new(message).at(param.key.clone()).help(help));
        }
        match reader.text(&param, StandIn::InSandbox) {
            Some(text) => params.push((param.name.to_owned(), text.value().into())),
            None => whole = false,
        }
    }
    whole.then_some(params)
}
