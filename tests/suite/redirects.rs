//! How a redirect is followed: the method (RFC 9110 sections 15.4.2 to 15.4.9).

use crate::raw::{Raw, answer, ok};
use crate::support::Bench;

#[test]
fn a_post_is_followed_with_get_after_301_302_and_303_and_with_post_after_307_and_308() {
    for method in ["POST", "GET"] {
        let api = Raw::start(|request, _| {
            let mut path = request.target.trim_start_matches('/').splitn(2, '/');
            match (path.next().unwrap(), path.next()) {
                ("items", Some(status)) => {
                    let location = format!("Location: /there/{status}\r\n");
                    answer(&format!("{status} Elsewhere"), &location, "")
                }
                (_, id) => ok(format!("{{\"id\":\"{}\"}}", id.unwrap())),
            }
        });
        let ids = ["301", "302", "303", "307", "308"];
        let bench = Bench::of(api, "/items/{id}")
            .ids(ids)
            .with("request", &format!("method = \"{method}\""))
            .with("limits", "rate = \"100/s\"");

        bench.run(&[], 0);

        bench.assert_exactly_once();
        let seen = bench.server.seen();
        assert_eq!(seen.len(), 2 * ids.len());
        for id in ids {
            let of = |folder: &str| {
                let target = format!("/{folder}/{id}");
                let found: Vec<_> = seen.iter().filter(|r| r.target == target).collect();
                assert_eq!(found.len(), 1, "{target}");
                found[0].method.clone()
            };
            assert_eq!(of("items"), method, "{id}");
            let expected = if id < "304" { "GET" } else { method };
            assert_eq!(of("there"), expected, "{id} after {method}");
        }
    }
}
