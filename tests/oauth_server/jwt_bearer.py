"""An authorization server for assertions (RFC 7523 section 2.1), and an API behind it.

Authlib judges the assertions and the tokens; of ours are the list of clients,
the items, and what was seen. One argument: how long a token lives, in seconds.
The first line on stdout says where it is and what a service account needs.
Ends when its standard input does.
"""

import json
import sys
import threading
import time

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin
from authlib.oauth2.rfc6750 import BearerTokenGenerator, BearerTokenValidator
from authlib.oauth2.rfc7523 import JWTBearerGrant as Grant
from flask import Flask, jsonify
from joserfc.jwk import RSAKey
from werkzeug.serving import WSGIRequestHandler, make_server

life = int(sys.argv[1])
app = Flask(__name__)
key = RSAKey.generate_key(2048, {"kid": "service-key"})
seen = {"granted": 0, "refused": [], "items": 0, "unauthorized": 0}
tokens = {}
lock = threading.Lock()


class Client(ClientMixin):
    def get_client_id(self):
        return "service@test"

    def get_allowed_scope(self, scope):
        return " ".join(word for word in scope.split() if word == "items")

    def check_grant_type(self, grant_type):
        return grant_type == Grant.GRANT_TYPE


class Token(TokenMixin):
    def __init__(self, response):
        self.scope = response["scope"]
        self.expires_at = time.time() + response["expires_in"]

    def check_client(self, client):
        return client.get_client_id() == "service@test"

    def get_scope(self):
        return self.scope

    def get_expires_in(self):
        return life

    def is_expired(self):
        return time.time() >= self.expires_at

    def is_revoked(self):
        return False


class JWTBearerGrant(Grant):
    LEEWAY = 0

    def get_audiences(self):
        return [f"{base}/token"]

    def resolve_issuer_client(self, issuer):
        return Client() if issuer == "service@test" else None

    def resolve_client_public_key(self, client):
        return key

    def authenticate_user(self, subject):
        return None

    def has_granted_permission(self, client, user):
        return False


class Validator(BearerTokenValidator):
    def authenticate_token(self, token_string):
        return tokens.get(token_string)


def save_token(response, request):
    with lock:
        seen["granted"] += 1
        tokens[response["access_token"]] = Token(response)


server = AuthorizationServer(app, query_client=lambda client_id: None, save_token=save_token)
server.register_grant(JWTBearerGrant)
server.register_token_generator(
    Grant.GRANT_TYPE,
    BearerTokenGenerator(lambda **_: f"at-{time.time_ns()}", expires_generator=lambda *_: life),
)
protect = ResourceProtector()
protect.register_token_validator(Validator())


@app.post("/token")
def token():
    response = server.create_token_response()
    if response.status_code != 200:
        with lock:
            seen["refused"].append(response.get_json())
    return response


@app.get("/items/<item>")
@protect("items")
def item(item):
    with lock:
        seen["items"] += 1
    return jsonify(id=item, name=f"the {item}")


@app.after_request
def count(response):
    if response.status_code == 401:
        with lock:
            seen["unauthorized"] += 1
    return response


@app.get("/test/seen")
def what_was_seen():
    return jsonify(seen)


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, *_):
        pass


http = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
base = f"http://127.0.0.1:{http.server_port}"
threading.Thread(target=http.serve_forever, daemon=True).start()
print(json.dumps({"base": base, "key": key.as_pem(private=True).decode()}), flush=True)
sys.stdin.read()
