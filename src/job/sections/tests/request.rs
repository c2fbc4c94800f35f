//! `[request]`: the URL, its pages, its body.

use super::*;

#[test]
fn a_whole_request() {
    let job = good(
        "[request]\nurl = \"https://h.example/{id}?q=${SECRET}\"\nmethod = \"POST\"\n\
         query = { z = \"{id}\", a = \"1\" }\nheaders = { X-B = \"${SECRET}\", X-A = \"en\" }\n\
         timeout = \"1m\"\nmax_body = \"1 kB\"",
    );
    let request = job.request;
    assert_eq!(request.url.raw(), "https://h.example/{id}?q=${SECRET}");
    assert_eq!(request.method.as_str(), "POST");
    let names = |pairs: &[(String, Template)]| -> Vec<String> {
        pairs.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&request.query), ["z", "a"], "the file's order");
    assert_eq!(names(&request.headers), ["X-B", "X-A"]);
    assert!(request.headers[0].1.is_secret() && !request.headers[1].1.is_secret());
    let url = request.url.build("i/d", &request.query).unwrap();
    assert_eq!(
        url.as_str(),
        "https://h.example/i%2Fd?q=hunter2&z=i%2Fd&a=1"
    );
    assert_eq!(request.max_body, 1_000);
}

#[test]
fn the_id_may_be_in_the_query_table_alone() {
    let job = good("[request]\nurl = \"https://h/search\"\nquery = { q = \"{id}\" }");
    let url = job.request.url.build("a&b", &job.request.query);
    assert_eq!(url.unwrap().as_str(), "https://h/search?q=a%26b");
    expect(
        "[request]\nurl = \"https://h/x\"\nheaders = { a = \"{id}\" }",
        &["there is no `{id}`"],
    );
}

#[test]
fn impossible_requests() {
    let url = |url: &str| format!("[request]\nurl = \"{url}\"");
    expect(
        "[request]\n",
        &["`url` is missing in [request]", "add `url"],
    );
    expect(&url("https://h/x"), &["there is no `{id}` in `url` or"]);
    expect(
        &url("https://h/{foo bar}"),
        &["unknown placeholder in `url`", "placeholders are `{id}`"],
    );
    expect(&url("https://h/{id:3}"), &["`{id:3}`", "level 4"]);
    expect(&url("https://h/{id}{#id}"), &["never sent"]);
    expect(
        &url("https://h/{id}?a=1{?id}"),
        &["comes after a `?`", "`{&name}`"],
    );
    expect(&url("https://h/{id}{&id}"), &["no `?` before", "`{?name}`"]);
    expect(&url("https://h/{id"), &["never closed"]);
    expect(&url("https://{id}.h/"), &["scheme, host or port"]);
    expect(&url("https://h/#{id}"), &["fragment"]);
    expect(&url("ftp://h/{id}"), &["`https://` or `http://`"]);
    expect(&url("h/{id}"), &["`https://` or `http://`"]);
    expect(&url("https://h:port/{id}"), &["not a URL: invalid port"]);
    expect(
        &url("https://me:hunter2@h/{id}"),
        &["user or password", "[auth]"],
    );
    expect(
        &url("https://h/{foo+}?key=hunter2"),
        &["unknown placeholder `{foo+}`"],
    );
    let more = |more: &str| format!("{REQUEST}{more}");
    expect(
        &more("method = \"get\""),
        &["\"GET\" or \"POST\"", "did you mean \"GET\"?"],
    );
    expect(&more("timeout = \"0s\""), &["`timeout` must be over 0"]);
    expect(
        &more("timeout = 30"),
        &["must be a string, found an integer"],
    );
    expect(&more("timeout = \"30\""), &["expected a length of time"]);
    expect(&more("max_body = \"0\""), &["`max_body` must be over 0"]);
    expect(&more("max_body = \"16 MiBs\""), &["expected a size"]);
    expect(
        &more("query = { a = 5 }"),
        &["`a` must be a string, found an integer"],
    );
    expect(
        &more("query = \"a=5\""),
        &["`query` must be a table, found a string"],
    );
    expect(&more("query = { \"\" = \"5\" }"), &["needs a name"]);
    expect(
        &more("query = { a = \"{+id}\" }"),
        &["placeholder `{+id}` in `a` is for URLs", "only `{name}`"],
    );
    expect(
        &more("headers = { \"a b\" = \"5\" }"),
        &["not a header's name"],
    );
    expect(
        &more("headers = { a = \"x\\ny hunter2\" }"),
        &["`a` cannot be sent"],
    );
    expect(
        &more("headers = { a = \"1\", A = \"2\" }"),
        &["`A` is there twice"],
    );
}

#[test]
fn pages_of_every_way() {
    let told = |pages: &str| {
        let job = good(&format!("{REQUEST}[request.pages]\n{pages}"));
        let pages = job.request.pages.unwrap();
        format!("{} | {}", pages.way.told(), pages.records.told())
    };
    for (pages, want) in [
        ("next = \"$.next\"", "next = $.next | each page"),
        ("next = \"link\"\nitems = \"$\"", "next = link | items = $"),
        (
            "cursor = \"$.c\"\nparam = \"after\"\nmerge = \"$.i\"",
            "cursor = $.c, param = after | merge = $.i",
        ),
        (
            "offset = \"from\"\nlimit = \"n\"\ntotal = \"$.t\"\nitems = \"$.i\"",
            "offset = from, limit = n, page_size = 50, total = $.t | items = $.i",
        ),
        (
            "page = \"p\"\nfirst = 0\nlimit = \"per_page\"\npage_size = 100\nitems = \"$\"",
            "page = p, first = 0, limit = per_page, page_size = 100 | items = $",
        ),
    ] {
        assert_eq!(told(pages), want);
    }
    let job = good(&format!(
        "{REQUEST}pages = {{ next = \"link\", max_pages = 3, other_origins = true }}"
    ));
    let pages = job.request.pages.unwrap();
    assert_eq!((pages.max_pages, pages.other_origins), (Some(3), true));
    assert!(good("").request.pages.is_none());
}

#[test]
fn impossible_pages() {
    let bad_pages = |pages: &str, parts: &[&str]| {
        expect(
            &format!("{REQUEST}query = {{ page = \"1\" }}\n[request.pages]\n{pages}"),
            parts,
        );
    };
    bad_pages("items = \"$.i\"", &["does not say how", "next = "]);
    bad_pages(
        "next = \"$.n\"\ncursor = \"$.c\"",
        &["`next` and `cursor` are two ways"],
    );
    bad_pages("next = \"next\"", &["JSONPath or \"link\""]);
    bad_pages("next = \"$.\"", &["is not a JSONPath"]);
    bad_pages("cursor = \"$.c\"", &["`param` is missing"]);
    bad_pages(
        "cursor = \"$.c\"\nparam = \"page\"",
        &["`page` is set in [request] `query`"],
    );
    bad_pages("cursor = \"$.c\"\nparam = \"$.c\"", &["no JSONPath here"]);
    bad_pages("offset = \"o\"", &["`items` or `merge` is missing"]);
    bad_pages(
        "offset = \"o\"\nitems = \"$\"\npage_size = 5",
        &["`limit` is missing"],
    );
    bad_pages("page = \"\"\nitems = \"$\"", &["`page` is empty"]);
    bad_pages(
        "next = \"link\"\ntotal = \"$.t\"",
        &["`total` goes with `offset` and `page`"],
    );
    bad_pages(
        "next = \"link\"\nitems = \"$\"\nmerge = \"$\"",
        &["both there"],
    );
    bad_pages(
        "next = \"link\"\nmerge = \"$.i[*]\"",
        &["one array", "merge = "],
    );
    bad_pages(
        "next = \"link\"\nmax_pages = 0",
        &["`max_pages` must be at least 1"],
    );
    bad_pages(
        "page = \"p\"\nitems = \"$\"\nother_origins = true",
        &["goes with `next` only"],
    );
    bad_pages(
        "nxt = \"link\"\nnext = \"link\"",
        &["unknown key `nxt`", "did you mean `next`"],
    );
    expect(
        &format!("{REQUEST}pages = \"$.next\""),
        &["`pages` must be a table"],
    );
    let both = "batch = { size = 2, key = \"$.id\" }\npages = { next = \"link\" }";
    expect(
        &format!("[request]\nurl = \"https://h/{{ids}}\"\n{both}"),
        &["[request.batch] and [request.pages] can't go together"],
    );
}

#[test]
fn a_job_without_a_hole_is_one_item() {
    let job = job(&format!("[request]\nurl = \"https://h/list\"\n{OUTPUT}")).unwrap();
    assert_eq!(job.ids.list, [LISTING]);
}

#[test]
fn bodies_of_every_form() {
    let body = |more: &str, ids: &str| {
        let job = good(&format!(
            "[request]\nurl = \"https://h/\"\nmethod = \"POST\"\n{more}\n[ids]\n{ids}"
        ));
        let request = job.request;
        let id = job.ids.list[0].clone();
        let body = request.body.unwrap();
        let values = object_values(&id);
        let values = match &values {
            Some(values) => Values::Several(values),
            None => Values::One(&id),
        };
        (body.expand(&Filling::of(values)), body.content_type())
    };
    let json = "application/json";
    let list = "list = ['a\"b']";
    assert_eq!(
        body(
            "body = { z = \"{id}\", n = 0x10, f = 1_0.50, t = true, l = [1, \"<{id}>\"], \
             d = 1979-05-27, \"q\\\"\" = {} }",
            list
        ),
        (
            r#"{"z":"a\"b","n":16,"f":10.50,"t":true,"l":[1,"<a\"b>"],"d":"1979-05-27","q\"":{}}"#
                .to_owned(),
            json
        )
    );
    assert_eq!(
        body("body = [\"{id}\"]", list),
        (r#"["a\"b"]"#.to_owned(), json)
    );
    assert_eq!(
        body("body = '{ \"a\": {\"b\": \"{id}\"}}'", list),
        (r#"{ "a": {"b": "a\"b"}}"#.to_owned(), json)
    );
    assert_eq!(
        body("body = '<id>{id}</id> {}'", list),
        ("<id>a\"b</id> {}".to_owned(), "text/plain; charset=utf-8")
    );
    assert_eq!(
        body("form = { \"a b\" = \"{id}\", c = \"&\" }", list),
        (
            "a+b=a%22b&c=%26".to_owned(),
            "application/x-www-form-urlencoded"
        )
    );
    let graphql = "body = { query = \"query($id: ID!) {node(id: $id) {id}}\", \
                   variables = { id = \"{id}\", o = \"{o}\" } }";
    assert_eq!(
        body(graphql, "list = [{ id = \"x\", o = \"y\" }]").0,
        r#"{"query":"query($id: ID!) {node(id: $id) {id}}","variables":{"id":"x","o":"y"}}"#
    );
}

#[test]
fn impossible_bodies() {
    let post =
        |more: &str| format!("[request]\nurl = \"https://h/{{id}}\"\nmethod = \"POST\"\n{more}");
    let get = |more: &str| format!("{REQUEST}{more}");
    expect(
        &get("body = \"x\""),
        &["`body` is for a POST", "add `method = \"POST\"`"],
    );
    expect(&get("form = { a = \"x\" }"), &["`form` is for a POST"]);
    expect(
        &post("body = \"x\"\nform = { a = \"b\" }"),
        &["`body` and `form` are both there"],
    );
    expect(&post("body = 5"), &["`body` must be a table or an array"]);
    expect(
        &post("form = \"a=b\""),
        &["`form` must be a table, found a string"],
    );
    expect(
        &post("form = { a = 5 }"),
        &["`a` must be a string, found an integer"],
    );
    expect(
        &post("body = { a = inf }"),
        &["a number that JSON does not have"],
    );
    expect(
        &post("body = { a = \"{ id }\" }"),
        &["spaces in it", "write `{id}`"],
    );
    expect(
        &post("body = { a = \"{ids}\" }"),
        &["`{ids}` is for batches"],
    );
    expect(
        &post("body = { a = \"{idd}\" }"),
        &["are `{id}` and `{idd}` meant to be the same?"],
    );
    expect(
        "[request]\nurl = \"https://h/\"\nmethod = \"POST\"\nbody = { a = 1 }",
        &["there is no `{id}`", "nor a hole in the body"],
    );
    expect(
        &post("body = { k = \"${SECRET}\" }").replace("https", "http"),
        &["send credentials over plain http"],
    );
    expect(
        &get("fail_when = \"errors\""),
        &["`fail_when` is not a JSONPath"],
    );
    expect(
        &get("retry_when = \"$\""),
        &["finds something in every body"],
    );
}
