//! `[ids]`, and what fills a request.

use super::*;

#[test]
fn ids_of_every_form() {
    let job = good("[ids]\nlist = [\" a \", 7, -1, 0x10]\nrepeats = \"each\"");
    assert_eq!(job.ids.list, ["a", "7", "-1", "16"]);
    assert_eq!(job.ids.repeats, Repeats::Each);
    let file = |text: &str| good(text).ids.file.unwrap();
    let lines = file("[ids]\nfile = \"../a.TXT\"");
    assert_eq!(lines.source, IdSource::Path(PathBuf::from("jobs/../a.TXT")));
    assert_eq!(lines.format, IdFormat::Lines);
    let delimited = |delimiter, column: Option<&str>| IdFormat::Delimited {
        delimiter,
        column: column.map(str::to_owned),
    };
    assert_eq!(
        file("[ids]\nfile = \"a.csv\"").format,
        delimited(b',', None)
    );
    let tsv = file("[ids]\nfile = \"a.tsv\"\ncolumn = \"c\"");
    assert_eq!(tsv.format, delimited(b'\t', Some("c")));
    assert!(matches!(
        file("[ids]\nfile = \"a.jsonl\"\nfield = \"$.id\"").format,
        IdFormat::Ndjson { .. }
    ));
    let stdin = |rest: &str| file(&format!("[ids]\nfile = \"-\"\n{rest}"));
    assert_eq!(stdin("").format, IdFormat::Lines);
    assert_eq!(stdin("").source, IdSource::Stdin);
    assert_eq!(stdin("column = \"c\"").format, delimited(b',', Some("c")));
    assert!(matches!(
        stdin("field = \"$\"").format,
        IdFormat::Ndjson { .. }
    ));
}

#[test]
fn impossible_ids() {
    expect("[ids]\n", &["names no items", "add `list"]);
    expect("[ids]\nlist = []", &["names no items"]);
    expect("[ids]\nlist = [\"\"]", &["cannot be empty"]);
    expect("[ids]\nlist = [\"a\\u0000\"]", &["control characters"]);
    expect(
        "[ids]\nlist = [1.5]",
        &["`list` must be strings or integers, found a float"],
    );
    expect(
        "[ids]\nlist = \"a\"",
        &["must be an array of IDs, found a string"],
    );
    expect("[ids]\nfile = \"a.gz\"", &["does not read .gz files yet"]);
    expect("[ids]\nfile = \"a.xlsx\"", &["ending of `file`", ".ndjson"]);
    expect("[ids]\nfile = \"a\"", &["ending of `file`"]);
    expect(
        "[ids]\nfile = \"a.txt\"\ncolumn = \"c\"",
        &["`column` is for .csv"],
    );
    expect(
        "[ids]\nfile = \"a.csv\"\nfield = \"$\"",
        &["`field` is for .ndjson"],
    );
    expect(
        "[ids]\nfile = \"-\"\nfield = \"$\"\ncolumn = \"c\"",
        &["`column` is for"],
    );
    expect(
        "[ids]\nfile = \"a.ndjson\"",
        &["`field` is missing in [ids]"],
    );
    expect(
        "[ids]\nfile = \"a.ndjson\"\nfield = \"id\"",
        &["not a JSONPath: at position", "`$.id`"],
    );
    expect("[ids]\nlist = [1]\ncolumn = \"c\"", &["there is none"]);
    expect(
        "[ids]\nlist = [1]\nrepeats = \"Once\"",
        &["\"once\" or \"each\"", "did you mean \"once\"?"],
    );
}

const REPOS: &str = "[request]\nurl = \"https://h.example/{owner}/{repo}\"\n";

#[test]
fn several_variables_of_every_source() {
    let repos = |ids: &str| good(&format!("{REPOS}[ids]\n{ids}"));
    let job = repos("list = [{ repo = \" r \", owner = 7 }]");
    assert_eq!(job.request.variables, ["owner", "repo"]);
    assert_eq!(job.request.id_form(), IdForm::Object);
    assert_eq!(job.ids.list, [r#"{"owner":"7","repo":"r"}"#]);
    let format = |ids: &str| repos(ids).ids.file.unwrap().format;
    let rows = |delimiter, owner: &str, repo: &str| IdFormat::Rows {
        delimiter,
        columns: vec![
            ("owner".to_owned(), owner.to_owned()),
            ("repo".to_owned(), repo.to_owned()),
        ],
    };
    assert_eq!(format("file = \"a.csv\""), rows(b',', "owner", "repo"));
    assert_eq!(
        format("file = \"a.tsv\"\nvariables = { owner = \"Org\" }"),
        rows(b'\t', "Org", "repo")
    );
    assert_eq!(format("file = \"-\""), rows(b',', "owner", "repo"));
    let objects = |owner: &str| IdFormat::Objects {
        fields: vec![
            ("owner".to_owned(), json_path(owner).unwrap()),
            ("repo".to_owned(), json_path("$.repo").unwrap()),
        ],
    };
    assert_eq!(format("file = \"a.ndjson\""), objects("$.owner"));
    let mapped = "variables = { owner = \"$.org.login\" }";
    assert_eq!(
        format(&format!("file = \"a.ndjson\"\n{mapped}")),
        objects("$.org.login")
    );
    assert_eq!(
        format(&format!("file = \"-\"\n{mapped}")),
        objects("$.org.login")
    );
    // The ID's place may be said by `column`, the others' by their names.
    let job = good(
        "[request]\nurl = \"https://h/{id}\"\nheaders = { lang = \"{lang}\" }\n\
         [ids]\nfile = \"a.csv\"\ncolumn = \"key\"",
    );
    let columns = vec![
        ("id".to_owned(), "key".to_owned()),
        ("lang".to_owned(), "lang".to_owned()),
    ];
    let delimiter = b',';
    assert_eq!(
        job.ids.file.unwrap().format,
        IdFormat::Rows { delimiter, columns }
    );
}

#[test]
fn an_only_variable_is_a_plain_id_whatever_its_name() {
    let user = |ids: &str| {
        good(&format!(
            "[request]\nurl = \"https://h/{{user}}\"\n[ids]\n{ids}"
        ))
    };
    let job = user("list = [\"a\", { user = \"b\" }, 3]");
    assert_eq!(job.ids.list, ["a", "b", "3"]);
    assert_eq!(job.request.id_form(), IdForm::Text);
    let format = |ids: &str| user(ids).ids.file.unwrap().format;
    assert_eq!(format("file = \"a.txt\""), IdFormat::Lines);
    let delimited = |column: &str| IdFormat::Delimited {
        delimiter: b',',
        column: Some(column.to_owned()),
    };
    assert_eq!(format("file = \"a.csv\""), delimited("user"));
    assert_eq!(format("file = \"a.csv\"\ncolumn = \"c\""), delimited("c"));
    assert_eq!(
        format("file = \"a.csv\"\nvariables = { user = \"c\" }"),
        delimited("c")
    );
    let field = json_path("$.user").unwrap();
    assert_eq!(format("file = \"a.ndjson\""), IdFormat::Ndjson { field });
}

#[test]
fn impossible_variables() {
    let repos = |ids: &str| format!("{REPOS}[ids]\n{ids}");
    expect(
        &repos("list = [\"a\"]"),
        &[
            "cannot fill `owner` and `repo`",
            "{ owner = \"…\", repo = \"…\" }",
        ],
    );
    expect(
        "[request]\nurl = \"https://h/{id}?q={idd}\"",
        &["are `{id}` and `{idd}` meant to be the same?"],
    );
    expect(
        &repos("list = [{ owner = \"a\" }]"),
        &["this item has no `repo`"],
    );
    expect(
        &repos("list = [{ owner = \"a\", repo = \"b\", repoo = \"c\" }]"),
        &["no `{repoo}` in the request", "did you mean `repo`?"],
    );
    expect(
        &repos("list = [{ owner = \"\", repo = \"b\" }]"),
        &["cannot be empty"],
    );
    expect(
        &repos("file = \"a.txt\""),
        &["plain lines cannot fill", ".csv"],
    );
    expect(
        &repos("file = \"a.csv\"\ncolumn = \"c\""),
        &["`column` says where `{id}` is", "[ids.variables]"],
    );
    expect(
        &repos("file = \"a.csv\"\nvariables = { ower = \"c\" }"),
        &["no `{ower}` in the request", "did you mean `owner`?"],
    );
    expect(
        &repos("file = \"a.ndjson\"\nvariables = { owner = \"org.login\" }"),
        &["`owner` is not a JSONPath", "`$.org.login`"],
    );
    expect(
        &repos("list = [{ owner = \"a\", repo = \"b\" }]\nvariables = { owner = \"c\" }"),
        &["`variables` is for a `file`"],
    );
    expect(
        "[ids]\nfile = \"a.txt\"\nvariables = { id = \"c\" }",
        &["`variables` is for .csv"],
    );
}

#[test]
fn a_job_without_variables_and_list_is_a_listing() {
    let text = "[request]\nurl = \"https://h/all\"\n[output]\npath = \"out.ndjson\"\n";
    let listing = job(text).unwrap();
    assert_eq!(listing.ids.list, [LISTING]);
    assert!(listing.request.variables.is_empty());
    let url = listing.request.url.build(LISTING, &[]).unwrap();
    assert_eq!(url.as_str(), "https://h/all");
    let told = |text: &str| job(text).unwrap_err().to_string();
    assert!(told(&format!("{text}[ids]\nlist = [\"a\"]")).contains("there is no `{id}`"));
    assert!(told(&text.replace("all", "{id}")).contains("names no items"));
}
