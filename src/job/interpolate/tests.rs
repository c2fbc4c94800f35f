use super::*;
use std::fs;
use std::path::Path;

fn filler(folder: &Path) -> Filler {
    Filler::new(
        Environment::of([("NAME", "value"), ("BRACES", "{id} ${NAME}")]),
        folder.to_owned(),
    )
}

fn fill(raw: &str) -> Result<String, Missing> {
    let folder = tempfile::tempdir().unwrap();
    let mut filler = filler(folder.path());
    filler.fill(raw, false).map(|text| text.value())
}

#[test]
fn references_and_escapes() {
    assert_eq!(fill("a ${NAME} b${NAME}"), Ok("a value bvalue".to_owned()));
    assert_eq!(
        fill("$${NAME} $NAME {id}"),
        Ok("${NAME} $NAME {id}".to_owned())
    );
    assert_eq!(fill(""), Ok(String::new()));
    assert_eq!(
        fill("${BRACES}"),
        Ok("{id} ${NAME}".to_owned()),
        "not filled twice"
    );
    assert_eq!(fill("x ${NAME"), Err(Missing::Unclosed));
    for raw in ["${}", "${A-b}", "${1A}", "${file:}", "${a b}", "${file: }"] {
        assert_eq!(fill(raw), Err(Missing::NotAName), "{raw}");
    }
    assert_eq!(fill("${NOPE}"), Err(Missing::Unset("NOPE".to_owned())));
}

#[test]
fn a_file_is_relative_to_the_job_and_trimmed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), "\u{feff}s3cret\r\n").unwrap();
    fs::write(folder.path().join("binary"), [0xff, 0xfe]).unwrap();
    fs::write(folder.path().join("huge"), vec![b'x'; 65_537]).unwrap();
    let mut filler = filler(folder.path());
    let text = filler.fill("${file:token}!", false).unwrap();
    assert_eq!(text.value(), "s3cret!");
    assert!(text.is_filled());
    for (raw, part) in [
        ("${file:absent}", "absent"),
        ("${file:binary}", "not UTF-8"),
        ("${file:huge}", "64 KiB"),
    ] {
        let missing = filler.fill(raw, false).err().unwrap();
        assert!(missing.message().contains(part), "{}", missing.message());
    }
}

#[test]
fn the_process_wins_over_dot_env() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join(".env"),
        "# c\nNAME=dot\nexport OTHER=\"two words\"\n",
    )
    .unwrap();
    let mut filler = filler(folder.path());
    let text = filler.fill("${NAME}|${OTHER}", false).unwrap();
    assert_eq!(text.value(), "value|two words");
}

#[test]
fn a_broken_dot_env_names_file_and_line_but_not_its_content() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join(".env"),
        "A=1\n\nhunter2 is no assignment\n",
    )
    .unwrap();
    let missing = filler(folder.path()).fill("${X}", true).err().unwrap();
    let message = missing.message();
    assert!(message.contains(".env`, line 3"), "{message}");
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn the_sandbox_stands_in_for_what_is_missing_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut filler = filler(folder.path());
    let text = filler.fill("${NOPE}${NAME}${file:absent}", true).unwrap();
    assert_eq!(text.value(), "sandboxvaluesandbox");
    assert!(filler.fill("${NOPE", true).is_err());
}

#[test]
fn debug_shows_no_variables() {
    let environment = Environment::of([("A", "hunter2")]);
    assert!(!format!("{environment:?}").contains("hunter2"));
}
