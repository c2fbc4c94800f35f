//! The job files that `harvest init` writes, and the job format's JSON Schema.

/// JSON Schema (draft 2020-12) of the job file; editors take it for completion.
pub const SCHEMA: &str = include_str!("schema.json");

/// A kind of API to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Starter {
    /// The Spotify Web API: OAuth2 client credentials.
    Spotify,
    /// Any JSON API, with every key explained.
    Generic,
    /// The GitHub REST API: a bearer token, and a CSV file.
    Github,
    /// An API that takes a key in the query.
    ApiKey,
}

impl Starter {
    /// Every starter.
    pub const ALL: [Starter; 4] = [
        Starter::Spotify,
        Starter::Generic,
        Starter::Github,
        Starter::ApiKey,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Starter::Spotify => "spotify",
            Starter::Generic => "generic",
            Starter::Github => "github",
            Starter::ApiKey => "api-key",
        }
    }
}

/// The commented job file of a starter.
pub fn starter(kind: Starter) -> &'static str {
    match kind {
        Starter::Spotify => include_str!("starter/spotify.toml"),
        Starter::Generic => include_str!("starter/generic.toml"),
        Starter::Github => include_str!("starter/github.toml"),
        Starter::ApiKey => include_str!("starter/api_key.toml"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Environment, IdSource, LoadOptions, OutputTarget, load};
    use std::fs;
    use std::path::{Path, PathBuf};

    /// The folder of the examples.
    fn jobs() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs")
    }

    fn sandbox() -> LoadOptions {
        LoadOptions {
            sandbox: true,
            environment: Environment::of([("X", "x")]),
            ..LoadOptions::default()
        }
    }

    #[test]
    fn every_starter_is_a_job() {
        for kind in Starter::ALL {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("job.toml");
            fs::write(&path, starter(kind)).unwrap();
            if let Err(error) = load(&path, &sandbox()) {
                panic!("{}: {error}", kind.name());
            }
        }
    }

    #[test]
    fn every_example_is_a_job_and_its_list_can_be_read() {
        let (mut seen, mut outputs, mut lists) = (0, Vec::new(), Vec::new());
        for entry in fs::read_dir(jobs()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|ending| ending != "toml") {
                continue;
            }
            let job = load(&path, &sandbox()).unwrap_or_else(|error| panic!("{error}"));
            seen += 1;
            if let OutputTarget::File(output) = &job.output.target {
                outputs.push(output.clone());
            }
            match job.ids.file.as_ref().map(|file| &file.source) {
                // It may be what another job writes.
                Some(IdSource::Path(list)) if !list.exists() => lists.push(list.clone()),
                _ => {
                    let items: Result<Vec<_>, _> = crate::ids::open(&job.ids).unwrap().collect();
                    assert!(!items.unwrap().is_empty(), "{}", path.display());
                }
            }
        }
        for list in lists {
            assert!(outputs.contains(&list), "nobody writes {}", list.display());
        }
        assert!(seen >= 4);
    }

    #[test]
    fn the_overnight_list_has_seven_ids_that_are_not_found() {
        let path = jobs().join("overnight.toml");
        let job = load(&path, &sandbox()).unwrap();
        let items = crate::ids::open(&job.ids).unwrap();
        let ids: std::collections::BTreeSet<String> = items.map(|item| item.unwrap().id).collect();
        assert_eq!(ids.len(), 5_000);
        assert_eq!(ids.iter().filter(|id| id.ends_with("404")).count(), 7);
    }

    #[test]
    fn the_schema_beside_the_examples_is_this_one() {
        let copy = jobs().join("schema.json");
        assert_eq!(fs::read_to_string(copy).unwrap(), SCHEMA);
    }
}
