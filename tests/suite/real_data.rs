//! Real data, whole: every real track ID, with the real bodies where there are
//! some. What the API said is what the files say, byte for byte.

use crate::python::python_with;
use crate::support::{Api, Place, assert_exit, harvest, real_data, told};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;
use std::process::Command;

const REAL_IDS: usize = 10_783;
const REAL_BODIES: usize = 192;

/// JSON without the white space between its tokens.
fn compact(json: &str) -> String {
    let (mut out, mut in_string, mut escaped) = (String::with_capacity(json.len()), false, false);
    for c in json.chars() {
        if in_string {
            in_string = c != '"' || escaped;
            escaped = c == '\\' && !escaped;
        } else if matches!(c, ' ' | '\t' | '\n' | '\r') {
            continue;
        } else {
            in_string = c == '"';
        }
        out.push(c);
    }
    out
}

/// Each recorded body, by its ID.
fn bodies(data: &Path) -> BTreeMap<String, String> {
    fs::read_dir(data.join("bodies"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .map(|path| {
            let id = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (id, fs::read_to_string(&path).unwrap())
        })
        .collect()
}

fn real_ids(data: &Path) -> Vec<String> {
    let mut reader = csv::Reader::from_path(data.join("track_ids.csv")).unwrap();
    let column = reader
        .headers()
        .unwrap()
        .iter()
        .position(|h| h == "track_id")
        .unwrap();
    reader
        .records()
        .map(|row| row.unwrap()[column].to_owned())
        .collect()
}

/// A list of the real IDs, and of those that have a body but are not listed.
fn ids_section(data: &Path, bodies: &BTreeMap<String, String>) -> (String, HashSet<String>) {
    let listed: HashSet<String> = real_ids(data).into_iter().collect();
    assert_eq!(listed.len(), REAL_IDS);
    assert_eq!(bodies.len(), REAL_BODIES);
    let more: Vec<&String> = bodies.keys().filter(|id| !listed.contains(*id)).collect();
    println!("{} bodies are of IDs beyond the list", more.len());
    let section = format!(
        "list = {more:?}\nfile = {:?}\ncolumn = \"track_id\"",
        data.join("track_ids.csv").canonicalize().unwrap()
    );
    let all = listed.iter().chain(more).cloned().collect();
    (section, all)
}

/// 0, or 3 when the API will answer some of them with a 404.
fn expected_exit(ids: &HashSet<String>, bodies: &BTreeMap<String, String>) -> i32 {
    let missing = ids
        .iter()
        .any(|id| id.ends_with("404") && !bodies.contains_key(id));
    if missing { 3 } else { 0 }
}

fn api(data: &Path) -> Api {
    Api::start(&["--bodies", data.join("bodies").to_str().unwrap()])
}

#[test]
fn every_real_record_has_the_tokens_of_its_body() {
    let Some(data) = real_data() else { return };
    let bodies = bodies(&data);
    let (section, ids) = ids_section(&data, &bodies);
    let place = Place::new();
    let api = api(&data);
    let job = api.job(
        &section,
        "rate = \"unlimited\"",
        "path = \"out.ndjson\"",
        "",
    );
    let job = place.write("job.toml", &job);

    let output = harvest().arg(&job).output().unwrap();

    assert_exit(&output, expected_exit(&ids, &bodies));
    place.assert_exactly_once("out.ndjson", ids.iter().map(String::as_str));
    let mut compared = 0;
    for line in place.lines("out.ndjson") {
        let record: Value = serde_json::from_str(&line).unwrap();
        let id = record["id"].as_str().unwrap();
        if let Some(body) = bodies.get(id) {
            assert_eq!(record, serde_json::from_str::<Value>(body).unwrap(), "{id}");
            assert_eq!(line, compact(body), "{id}");
            compared += 1;
        }
    }
    assert_eq!(compared, REAL_BODIES);
}

/// What a CSV row should say of a body: name, artists, album.
fn expected_row(body: &str) -> [String; 3] {
    let body: Value = serde_json::from_str(body).unwrap();
    let artists: Vec<&str> = body["artists"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["name"].as_str().unwrap())
        .collect();
    [
        body["name"].as_str().unwrap().to_owned(),
        artists.join("; "),
        body["album"]["name"].as_str().unwrap().to_owned(),
    ]
}

/// The rows of a CSV as pandas reads them, by ID.
fn read_with_pandas(python: &Path, csv: &Path) -> BTreeMap<String, [String; 3]> {
    // ASCII only on the pipe, so that no locale can touch the names.
    let script = "import json, sys, pandas\n\
        t = pandas.read_csv(sys.argv[1], dtype=str, keep_default_na=False, encoding='utf-8')\n\
        assert list(t.columns) == ['id', 'name', 'artists', 'album'], t.columns\n\
        print(json.dumps(t.values.tolist()))\n";
    let output = Command::new(python)
        .args(["-c", script])
        .arg(csv)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let rows: Vec<[String; 4]> = serde_json::from_slice(&output.stdout).unwrap();
    let count = rows.len();
    let by_id: BTreeMap<_, _> = rows
        .into_iter()
        .map(|[id, name, artists, album]| (id, [name, artists, album]))
        .collect();
    assert_eq!(by_id.len(), count, "an ID is twice in the CSV");
    by_id
}

fn read_with_csv(path: &Path) -> BTreeMap<String, [String; 3]> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    assert_eq!(
        reader.headers().unwrap(),
        &csv::StringRecord::from(vec!["id", "name", "artists", "album"])
    );
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let by_id: BTreeMap<_, _> = rows
        .iter()
        .map(|row| {
            let fields = [&row[1], &row[2], &row[3]].map(str::to_owned);
            (row[0].to_owned(), fields)
        })
        .collect();
    assert_eq!(by_id.len(), rows.len(), "an ID is twice in the CSV");
    by_id
}

const COLUMNS: &str = "[output.columns]\nid = \"$.id\"\nname = \"$.name\"\n\
    artists = \"$.artists[*].name\"\nalbum = \"$.album.name\"";

#[test]
fn real_names_survive_into_csv_and_back() {
    let Some(data) = real_data() else { return };
    let bodies = bodies(&data);
    let (section, ids) = ids_section(&data, &bodies);
    let place = Place::new();
    let api = api(&data);
    let job = api.job(
        &section,
        "rate = \"unlimited\"",
        "path = \"out.csv\"",
        COLUMNS,
    );
    let job = place.write("job.toml", &job);

    let output = harvest().arg(&job).output().unwrap();

    assert_exit(&output, expected_exit(&ids, &bodies));
    compare_csv(&place.path("out.csv"), &ids, &bodies);
}

/// The real bodies again, with names that no real track has: line ends, quotes, commas, what pandas takes
/// for a missing value, the edges of Unicode.
#[test]
fn the_worst_names_survive_into_csv_and_back() {
    let Some(data) = real_data() else { return };
    let worst = [
        "a,b",
        "\"quoted\"",
        "\"",
        "\"\"",
        "line\nline",
        "line\r\nline",
        "\nat the start",
        "at the end\n",
        " spaces ",
        "tab\there",
        "NA",
        "null",
        "nan",
        "0012",
        "1e5",
        "True",
        "=1+1",
        "#no comment",
        "'",
        "\\",
        "\\n",
        ";",
        "é",
        "e\u{301}",
        "日本語",
        "العربية",
        "👩‍👩‍👧",
        "\u{feff}bom",
        "\u{2028}",
        "\u{a0}",
        "\u{10ffff}",
        "back\\\"slash,quote",
    ];
    let place = Place::new();
    let folder = place.path("bodies");
    fs::create_dir(&folder).unwrap();
    let mut made = BTreeMap::new();
    for ((id, body), name) in bodies(&data).into_iter().zip(worst) {
        let mut body: Value = serde_json::from_str(&body).unwrap();
        body["name"] = name.into();
        body["album"]["name"] = name.into();
        body["artists"][0]["name"] = name.into();
        let body = serde_json::to_string_pretty(&body).unwrap();
        fs::write(folder.join(format!("{id}.json")), &body).unwrap();
        made.insert(id, body);
    }
    assert_eq!(made.len(), worst.len());
    let ids: HashSet<String> = made.keys().cloned().collect();
    let api = Api::start(&["--bodies", folder.to_str().unwrap()]);
    let list = format!("list = {:?}", made.keys().collect::<Vec<_>>());
    let job = api.job(&list, "rate = \"unlimited\"", "path = \"out.csv\"", COLUMNS);
    let job = place.write("job.toml", &job);

    assert_exit(&harvest().arg(&job).output().unwrap(), 0);

    compare_csv(&place.path("out.csv"), &ids, &made);
}

fn compare_csv(path: &Path, ids: &HashSet<String>, bodies: &BTreeMap<String, String>) {
    let mut readings = vec![("the csv crate", read_with_csv(path))];
    match python_with("pandas", "pandas-venv", &["pandas"]) {
        Some(python) => readings.push(("pandas", read_with_pandas(&python, path))),
        None => println!("not compared with pandas: there is none here"),
    }
    for (reader, rows) in readings {
        let mut compared = 0;
        for (id, row) in &rows {
            assert!(ids.contains(id), "{reader}: {id:?} was not asked for");
            if let Some(body) = bodies.get(id) {
                assert_eq!(row, &expected_row(body), "{reader}: {id}");
                compared += 1;
            }
        }
        let missing = ids
            .iter()
            .filter(|id| id.ends_with("404") && !bodies.contains_key(*id))
            .count();
        assert_eq!(rows.len(), ids.len() - missing, "{reader}");
        assert_eq!(compared, bodies.len(), "{reader}");
        println!("{reader}: {} rows, {compared} compared", rows.len());
    }
}
