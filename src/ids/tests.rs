//! Every form of list, whole and broken.

use super::*;
use crate::job::Repeats;
use proptest::prelude::*;
use serde_json_path::JsonPath;
use std::fs;

fn list_of(format: IdFormat, content: &[u8]) -> (tempfile::TempDir, Ids) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    fs::write(&path, content).unwrap();
    let ids = Ids {
        list: Vec::new(),
        file: Some(IdFile {
            source: IdSource::Path(path),
            format,
        }),
        repeats: Repeats::Once,
    };
    (folder, ids)
}

fn items(format: IdFormat, content: &[u8]) -> Result<Vec<(String, u64)>, IdsError> {
    let (_folder, ids) = list_of(format, content);
    let read: Result<Vec<Item>, IdsError> = open(&ids).and_then(|reader| reader.collect());
    let read = read?;
    assert_eq!(
        count(&ids).unwrap(),
        Some(read.len() as u64),
        "count agrees"
    );
    Ok(read
        .into_iter()
        .map(|item| (item.id, item.position))
        .collect())
}

fn message(format: IdFormat, content: &[u8]) -> String {
    items(format, content).unwrap_err().to_string()
}

fn csv(column: Option<&str>) -> IdFormat {
    IdFormat::Delimited {
        delimiter: b',',
        column: column.map(str::to_owned),
    }
}

fn ndjson(path: &str) -> IdFormat {
    IdFormat::Ndjson {
        field: JsonPath::parse(path).unwrap(),
    }
}

fn pairs(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
    let owned = expected
        .iter()
        .map(|(id, position)| ((*id).to_owned(), *position));
    owned.collect()
}

#[test]
fn lines_with_everything_that_editors_and_spreadsheets_leave() {
    let content =
        "\u{feff}a\r\n\r\n  # comment\n\tb c \n#\n\"quoted\"\n\"with \"\"q\"\"\"\n\"\"\nlast";
    let expected = [
        ("a", 1),
        ("b c", 4),
        ("quoted", 6),
        ("with \"q\"", 7),
        ("last", 9),
    ];
    assert_eq!(
        items(IdFormat::Lines, content.as_bytes()).unwrap(),
        pairs(&expected)
    );
    assert_eq!(items(IdFormat::Lines, b"").unwrap(), []);
}

#[test]
fn broken_lines_are_named() {
    let shown = message(IdFormat::Lines, b"a\n\xff\n");
    assert!(shown.contains("list`, line 2: not UTF-8"), "{shown}");
    for content in [
        "ok\na\0b\n",
        "ok\na\tb\n",
        "ok\na\u{85}b\n",
        "ok\na\u{7f}\n",
    ] {
        let shown = message(IdFormat::Lines, content.as_bytes());
        assert!(shown.contains("line 2: a control character"), "{shown}");
    }
    let long = [b"a\n".to_vec(), vec![b'x'; (1 << 20) + 1]].concat();
    let shown = message(IdFormat::Lines, &long);
    assert!(shown.contains("line 2: longer than 1 MiB"), "{shown}");
    let just_fits = vec![b'x'; 1 << 20];
    assert_eq!(items(IdFormat::Lines, &just_fits).unwrap().len(), 1);
}

#[test]
fn the_reader_ends_after_an_error() {
    let (_folder, ids) = list_of(IdFormat::Lines, b"a\n\xff\nb\n");
    let mut reader = open(&ids).unwrap();
    assert!(reader.next().unwrap().is_ok());
    assert!(reader.next().unwrap().is_err());
    assert!(reader.next().is_none());
    assert!(reader.next().is_none());
}

/// A form of list, its header and its lines.
type Form = (IdFormat, &'static str, fn(usize) -> String);

fn forms() -> [Form; 3] {
    [
        (IdFormat::Lines, "", |n| format!("id-{n:06}\n")),
        (csv(None), "id\n", |n| format!("id-{n:06}\n")),
        (ndjson("$"), "", |n| format!("1{n:06}\n")),
    ]
}

/// What is read of a list, and counted, when `change` comes between its beginning and its end.
fn read_while(
    format: IdFormat,
    content: &str,
    change: impl FnOnce(&mut fs::File),
) -> (Vec<String>, u64) {
    let (_folder, ids) = list_of(format, content.as_bytes());
    let Some(IdFile {
        source: IdSource::Path(path),
        ..
    }) = &ids.file
    else {
        unreachable!()
    };
    let mut reader = open(&ids).unwrap();
    let counter = open(&ids).unwrap().file.unwrap();
    let mut batch = IdBatch::with_room(1);
    reader.read(&mut batch, 1).unwrap();
    change(&mut fs::File::options().append(true).open(path).unwrap());
    reader.read(&mut batch, 1_000_000).unwrap();
    let read = batch.iter().map(str::to_owned).collect();
    (read, counter.count().unwrap())
}

/// Longer than what is read ahead.
const LINES: usize = 40_000;

#[test]
fn a_line_that_is_cut_while_the_list_is_read_is_no_id() {
    for (format, header, line) in forms() {
        let lines: Vec<String> = (0..LINES).map(line).collect();
        let content = format!("{header}{}", lines.concat());
        let end = header.len() + lines[..30_000].concat().len();
        let (read, counted) = read_while(format, &content, |file| {
            file.set_len(end as u64 + 4).unwrap();
        });
        assert_eq!(read.last().unwrap(), lines[29_999].trim_end());
        assert_eq!((read.len(), counted), (30_000, 30_000));
    }
}

#[test]
fn a_line_that_is_being_written_while_the_list_is_read_is_no_id() {
    use std::io::Write;
    for (format, header, line) in forms() {
        let lines: Vec<String> = (0..=LINES).map(line).collect();
        let content = format!("{header}{}", lines[..LINES].concat());
        let (read, counted) = read_while(format, &content, |file| {
            write!(file, "{}{}", lines[LINES], &lines[0][..4]).unwrap();
        });
        assert_eq!(read.last().unwrap(), lines[LINES].trim_end());
        assert_eq!((read.len(), counted), (LINES + 1, LINES as u64 + 1));
    }
}

#[test]
fn a_last_line_that_was_there_all_along_needs_no_line_end() {
    for (format, header, line) in forms() {
        let lines: Vec<String> = (0..LINES).map(line).collect();
        let content = format!("{header}{}", lines.concat());
        let (read, counted) = read_while(format, content.trim_end(), |file| {
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        });
        assert_eq!(read.last().unwrap(), lines[LINES - 1].trim_end());
        assert_eq!((read.len(), counted), (LINES, LINES as u64));
    }
}

#[test]
fn a_byte_order_mark_at_the_beginning_of_any_line_is_none_of_the_id() {
    let joined = "\u{feff}a\r\n\u{feff}b\n\u{feff}\u{feff} c\n\u{feff}\n";
    let expected = pairs(&[("a", 1), ("b", 2), ("c", 3)]);
    assert_eq!(items(IdFormat::Lines, joined.as_bytes()).unwrap(), expected);
    let joined = "\u{feff}id,n\na,1\n\u{feff}b,2\n";
    assert_eq!(
        items(csv(Some("id")), joined.as_bytes()).unwrap(),
        pairs(&[("a", 2), ("b", 3)])
    );
    let joined = "\u{feff}\"a\"\n\u{feff}\"b\"\n";
    assert_eq!(
        items(ndjson("$"), joined.as_bytes()).unwrap(),
        pairs(&[("a", 1), ("b", 2)])
    );
}

#[test]
fn inline_ids_come_first() {
    let (_folder, mut ids) = list_of(IdFormat::Lines, b"# c\nx\nx\n");
    ids.list = vec!["b".to_owned(), "a".to_owned(), "a".to_owned()];
    let read: Vec<_> = open(&ids)
        .unwrap()
        .map(|item| item.unwrap().position)
        .collect();
    assert_eq!(read, [1, 2, 3, 2, 3], "repeats stay");
    assert_eq!(count(&ids).unwrap(), Some(5));
    ids.file = None;
    assert_eq!(count(&ids).unwrap(), Some(3));
}

#[test]
fn stdin_is_not_counted() {
    let ids = Ids {
        list: Vec::new(),
        file: Some(IdFile {
            source: IdSource::Stdin,
            format: IdFormat::Lines,
        }),
        repeats: Repeats::Once,
    };
    assert_eq!(count(&ids).unwrap(), None);
}

#[test]
fn a_missing_file_is_named() {
    let (folder, ids) = list_of(IdFormat::Lines, b"");
    drop(folder);
    let shown = open(&ids).err().unwrap().to_string();
    assert!(shown.contains("cannot open the ID list"), "{shown}");
    assert!(count(&ids).is_err());
}

#[test]
fn csv_by_column_name() {
    let content = "\u{feff}name, track_id ,x\r\n\"a\nb\", 1 ,\r\nc,,\r\n\r\n\"d,e\",\"2\",z\r\n";
    // Row 2 begins on line 2 and ends on line 3; lines 4 (blank cell) and 5 are skipped.
    let expected = pairs(&[("1", 2), ("2", 6)]);
    assert_eq!(
        items(csv(Some("track_id")), content.as_bytes()).unwrap(),
        expected
    );
    assert_eq!(items(csv(None), b"id\n7\n").unwrap(), pairs(&[("7", 2)]));
    let expected = pairs(&[("7", 4), ("8", 6), ("9", 7)]);
    assert_eq!(
        items(csv(None), b"id\n\n\n7\n\n8\n9").unwrap(),
        expected,
        "blank lines"
    );
    assert_eq!(
        items(csv(None), b"id\r\n\r\n\r\n7\r\n\r\n8\r\n9").unwrap(),
        expected
    );
    assert_eq!(
        items(csv(None), b"\n\nid\n7\n\n\n").unwrap(),
        pairs(&[("7", 4)])
    );
    let tsv = IdFormat::Delimited {
        delimiter: b'\t',
        column: Some("id".to_owned()),
    };
    assert_eq!(items(tsv, b"a\tid\n1,1\t2\n").unwrap(), pairs(&[("2", 2)]));
}

#[test]
fn a_wrong_column_lists_the_columns() {
    let shown = message(csv(Some("trackid")), b"name,track_id\n");
    assert!(
        shown.contains("no column `trackid`, it has `name`, `track_id`"),
        "{shown}"
    );
    assert!(shown.contains("did you mean `track_id`?"), "{shown}");
    let shown = message(csv(None), b"a,b\n");
    assert!(shown.contains("several columns: `a`, `b`"), "{shown}");
    assert!(message(csv(Some("a")), b"a,a\n").contains("two columns"));
    assert!(message(csv(None), b"").contains("needs a header row"));
}

#[test]
fn broken_rows_are_named() {
    let shown = message(csv(Some("b")), b"a,b\n1,2\n3\n");
    assert!(
        shown.contains("line 3: the row has no column `b`"),
        "{shown}"
    );
    let shown = message(csv(Some("b")), b"a,b\n1,\xff\n");
    assert!(shown.contains("line 2: not UTF-8"), "{shown}");
    let shown = message(csv(Some("b")), b"a,b\n1,\"x\ny\"\n");
    assert!(shown.contains("line 2: a control character"), "{shown}");
    assert!(
        items(csv(Some("b")), b"a,b\n\xff,1\n").is_ok(),
        "other columns do not matter"
    );
}

#[test]
fn a_quote_that_is_never_closed_does_not_fill_the_memory() {
    let mut content = b"a,b\n1,2\n3,\"".to_vec();
    content.resize(20 << 20, b'x');
    let shown = message(csv(Some("b")), &content);
    assert!(shown.contains("line 3: longer than 16 MiB"), "{shown}");
}

#[test]
fn ndjson_by_path() {
    let content = "\u{feff}{\"a\":{\"id\":\"x\"}}\r\n\n  {\"a\":{\"id\":-7}}\n{\"a\":{\"id\":18446744073709551615}}";
    let expected = pairs(&[("x", 1), ("-7", 3), ("18446744073709551615", 4)]);
    assert_eq!(
        items(ndjson("$.a.id"), content.as_bytes()).unwrap(),
        expected
    );
    assert_eq!(
        items(ndjson("$"), b"\"x\"\n5\n").unwrap(),
        pairs(&[("x", 1), ("5", 2)])
    );
}

#[test]
fn broken_json_lines_are_named() {
    for (content, part) in [
        ("{\"id\":1}\n{\"id\":", "line 2: not JSON"),
        ("1\n", "line 1: `$.id` finds 0 values"),
        ("{\"id\":null}", "finds null"),
        ("{\"id\":1.5}", "no 64-bit integer"),
        ("{\"id\":18446744073709551616}", "no 64-bit integer"),
        ("{\"id\":[1]}", "finds an array"),
        ("{\"id\":\" \"}", "finds an empty string"),
        ("{\"id\":\"a\\u0000\"}", "control character (U+0000)"),
    ] {
        let shown = message(ndjson("$.id"), content.as_bytes());
        assert!(shown.contains(part), "{shown}");
    }
    assert!(message(ndjson("$[*]"), b"[1,2]").contains("finds 2 values"));
}

/// An ID that any list can hold: no control characters, no space around it.
fn any_id() -> impl Strategy<Value = String> {
    "\\PC{1,30}"
        .prop_map(|id| id.trim().to_owned())
        .prop_filter("an ID", |id| {
            !id.is_empty() && !id.contains(char::is_control) && !id.starts_with('\u{feff}')
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_form_of_a_list_reads_back_equal(ids in prop::collection::vec(any_id(), 0..20)) {
        let quoted = |id: &String| format!("\"{}\"", id.replace('"', "\"\""));
        let txt: Vec<String> = ids.iter().map(quoted).collect();
        let mut table = csv::Writer::from_writer(Vec::new());
        table.write_record(["n", "id"]).unwrap();
        for (n, id) in ids.iter().enumerate() {
            table.write_record([&n.to_string(), id]).unwrap();
        }
        let json: Vec<String> = ids.iter().map(|id| serde_json::json!({"id": id}).to_string()).collect();
        for (format, content) in [
            (IdFormat::Lines, txt.join("\r\n").into_bytes()),
            (csv(Some("id")), table.into_inner().unwrap()),
            (ndjson("$.id"), json.join("\n").into_bytes()),
        ] {
            let read: Vec<String> = items(format, &content).unwrap().into_iter().map(|(id, _)| id).collect();
            prop_assert_eq!(&read, &ids);
        }
    }

    #[test]
    fn many_at_once_are_the_same_as_one_by_one(
        content in "([ -~\u{85}\u{a0}é\"#\t\u{1}]{0,20}\r?\n){0,12}",
        list in prop::collection::vec(any_id(), 0..4),
        most in 1usize..6,
    ) {
        for format in [IdFormat::Lines, csv(None), ndjson("$.a")] {
            let (_folder, mut ids) = list_of(format, content.as_bytes());
            ids.list = list.clone();
            let Ok(reader) = open(&ids) else { continue };
            let (mut one_by_one, mut error) = (Vec::new(), None);
            for item in reader {
                match item {
                    Ok(item) => one_by_one.push(item.id),
                    Err(found) => error = Some(found.to_string()),
                }
            }
            let mut reader = open(&ids).unwrap();
            let mut at_once = Vec::new();
            loop {
                let mut batch = IdBatch::with_room(most);
                let read = reader.read(&mut batch, most);
                prop_assert!(batch.len() <= most);
                at_once.extend(batch.iter().map(str::to_owned));
                let whole = batch.len() == most;
                if let Err(found) = read {
                    prop_assert_eq!(Some(found.to_string()), error.take());
                    break;
                } else if !whole {
                    break;
                }
            }
            prop_assert_eq!(error, None);
            prop_assert_eq!(at_once, one_by_one);
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic(content in prop::collection::vec(any::<u8>(), 0..200)) {
        for format in [IdFormat::Lines, csv(None), csv(Some("a")), ndjson("$.a")] {
            let (_folder, ids) = list_of(format, &content);
            if let Ok(reader) = open(&ids) {
                let _ = reader.collect::<Result<Vec<_>, _>>();
            }
            let _ = count(&ids);
        }
    }
}

/// One stray quote must not make a list of a million a list of three.
#[test]
fn a_quote_that_is_never_closed_is_told_with_its_line() {
    let with = |tail: &str| format!("id,name\n1,a\n2,\"b\nc\"\n{tail}");
    for open in ["3,\"c\n4,d\n5,e\n", "3,\"c\n4,d", "3,\"\n"] {
        let told = message(csv(Some("id")), with(open).as_bytes());
        assert!(
            told.contains("line 5: the quote that begins in this row is never closed"),
            "{open:?}: {told}"
        );
    }
    for closed in [
        "3,\"c\nd\"\n",
        "3,\"c\nd\"",
        "3,\"c\n\"\r\n",
        "3,c\n\n",
        "3,x\"y\n",
    ] {
        let read = items(csv(Some("id")), with(closed).as_bytes()).unwrap();
        assert_eq!(read.len(), 3, "{closed:?}");
    }
}

fn combinations(format: IdFormat, text: &str) -> Result<Vec<String>, String> {
    let read = items(format, text.as_bytes()).map_err(|error| error.to_string())?;
    Ok(read.into_iter().map(|(id, _)| id).collect())
}

#[test]
fn columns_fill_several_variables() {
    let rows = |text: &str| {
        let columns = vec![
            ("owner".to_owned(), "org".to_owned()),
            ("repo".to_owned(), "repo".to_owned()),
        ];
        let delimiter = b',';
        combinations(IdFormat::Rows { delimiter, columns }, text)
    };
    assert_eq!(
        rows("repo,x,org\n r ,1,\"a,\"\"b\"\n , , \nr,2,c\n").unwrap(),
        [
            r#"{"owner":"a,\"b","repo":"r"}"#,
            r#"{"owner":"c","repo":"r"}"#
        ]
    );
    let told = |text: &str, parts: &[&str]| {
        let error = rows(text).unwrap_err();
        for part in parts {
            assert!(error.contains(part), "`{part}` in {error}");
        }
    };
    told(
        "repo,orgs\n",
        &[
            "no column `org`",
            "did you mean `orgs`?",
            "{owner}",
            "[ids.variables]",
        ],
    );
    told(
        "repo,org\na,b\nc,\n",
        &["line 3", "`{owner}`", "column `org`", "empty"],
    );
    told("repo,org\nc\n", &["line 2", "no column `org`"]);
    told(
        "repo,org\na,b\u{1}c\n",
        &["line 2", "`{owner}`", "control character"],
    );
}

#[test]
fn paths_fill_several_variables() {
    let objects = |text: &str| {
        let path = |text| crate::job::json_path(text).unwrap();
        let fields = vec![
            ("owner".to_owned(), path("$.org.login")),
            ("repo".to_owned(), path("$.repo")),
        ];
        combinations(IdFormat::Objects { fields }, text)
    };
    let line = "{\"repo\":7,\"org\":{\"login\":\"a\"}}\n\n";
    assert_eq!(objects(line).unwrap(), [r#"{"owner":"a","repo":"7"}"#]);
    for (text, part) in [
        ("{\"repo\":1}", "`{owner}`: `$.org.login` finds 0 values"),
        (
            "{\"repo\":null,\"org\":{\"login\":\"a\"}}",
            "`{repo}`: `$.repo` finds null",
        ),
        (
            "{\"repo\":\" \",\"org\":{\"login\":\"a\"}}",
            "finds an empty string",
        ),
    ] {
        let error = objects(&format!("{line}{text}")).unwrap_err();
        assert!(error.contains(part) && error.contains("line 3"), "{error}");
    }
}
